import { createServer, type ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { json } from 'node:stream/consumers'

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'

import { admin } from '../../../cli/admin.ts'
import { listen } from '../../../dev/local-server.ts'

const COUNT = 250

/** The entry of a list under this number; the newest has the highest. */
const entryOf = (sequence: number) => ({
  id: `id-${sequence}`,
  operation: 'POST /payments',
  tenant: 't',
  reason: 'origin-timeout',
  ageSeconds: COUNT - sequence,
  nextAttemptAt: null,
  ...(sequence === 7 && { isLost: true }),
  ...(sequence === 8 && { isInProgress: true }),
  type: 'a.b',
  attempts: 1,
  at: '2026-11-24T08:00:00.000Z',
})

/** What was sent, and the number of a page that cannot be read. */
const asked: { url: string; body: { ids?: string[] } }[] = []
let brokenAfter = 0
let brokenBatch = ''
let isBrokenOff = false

function pageOf(url: URL) {
  const limit = Number(url.searchParams.get('limit') ?? 50)
  const after = Number(url.searchParams.get('after') ?? COUNT + 1)
  if (after === brokenAfter) return null
  const first = after - 1
  const last = Math.max(1, first - limit + 1)
  const entries = Array.from({ length: first - last + 1 }, (_, index) => entryOf(first - index))
  return { entries, next: last === 1 ? null : last, total: COUNT }
}

const toResult = (id: string) =>
  id === 'id-refused' ? { id, result: 'refused', because: 'no' } : { id, result: 'done' }

function end(response: ServerResponse, text: string): void {
  if (isBrokenOff) response.write(text.slice(0, 9), () => response.destroy())
  else response.end(text)
}

const server = createServer((request, response) => {
  void (async () => {
    const url = new URL(request.url ?? '', 'http://localhost')
    const isPost = request.method === 'POST'
    const body = isPost ? ((await json(request)) as { ids?: string[] }) : {}
    asked.push({ url: url.pathname.replace('/_hapax/admin', '') + url.search, body })
    const isBroken = body.ids?.includes(brokenBatch) === true
    const results = isBroken ? null : { results: (body.ids ?? []).map(toResult) }
    const answer = isPost ? results : pageOf(url)
    const type = answer === null ? 'application/problem+json' : 'application/json'
    response.writeHead(answer === null ? 500 : 200, { 'Content-Type': type })
    end(response, JSON.stringify(answer ?? { detail: 'It failed.' }))
  })()
})

let url = ''
beforeAll(async () => {
  url = await listen(server)
})
afterAll(() => {
  server.close()
})

let written = ''
beforeEach(() => {
  written = ''
  asked.length = 0
  brokenAfter = 0
  brokenBatch = ''
  isBrokenOff = false
  vi.stubEnv('HAPAX_ADMIN_TOKEN', 'token')
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    written += String(text)
    return true
  })
})
afterEach(() => {
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
})

const run = (...args: string[]) => admin([...args, '--url', url])
const idsOf = (text: string) => Array.from(text.matchAll(/^id-\d+/gm), ([id]) => id)
const ALL_IDS = Array.from({ length: COUNT }, (_, index) => `id-${COUNT - index}`)

describe('a list on the command line', () => {
  it.each(['stuck', 'dead-letters'])(
    'of %s says where it goes on, and goes on there',
    async (list) => {
      await run(list, '--limit', '3')
      expect(idsOf(written)).toEqual(['id-250', 'id-249', 'id-248'])
      expect(written).toContain('More entries: use --after 248 or --all.')
      written = ''
      await run(list, '--after', '248', '--limit', '2')
      expect(idsOf(written)).toEqual(['id-247', 'id-246'])
      expect(asked.at(-1)?.url).toBe(`/${list}?limit=2&after=248`)
    },
  )

  it.each(['stuck', 'dead-letters'])('of %s is read to its end with --all', async (list) => {
    await run(list, '--all')
    expect(idsOf(written)).toEqual(ALL_IDS)
    expect(written.match(/^ID /gm)).toHaveLength(1)
    expect(written).not.toContain('More entries')
    expect(asked.map((one) => one.url)).toEqual([
      `/${list}?limit=100`,
      `/${list}?limit=100&after=151`,
      `/${list}?limit=100&after=51`,
    ])
  })

  it('is one document with --json, whole or as it came', async () => {
    await run('stuck', '--all', '--json')
    const whole = JSON.parse(written) as { entries: { id: string }[]; next: null; total: number }
    expect(whole.entries.map(({ id }) => id)).toEqual(ALL_IDS)
    expect(whole).toMatchObject({ next: null, total: COUNT })
    written = ''
    await run('stuck', '--json')
    expect(JSON.parse(written)).toMatchObject({ next: 201, total: COUNT })
  })

  it('has what was read where a page cannot be, and says where to go on', async () => {
    brokenAfter = 51
    await expect(run('stuck', '--all')).rejects.toThrow(
      'It failed. (500) Continue with --after 51.',
    )
    expect(idsOf(written)).toEqual(ALL_IDS.slice(0, 200))
    written = ''
    await expect(run('stuck', '--all', '--json')).rejects.toThrow('Continue with --after 51.')
    expect(JSON.parse(written)).toMatchObject({ next: 51, total: COUNT })
  })

  it.each([['stuck'], ['replay', 'id-1', 'id-2'], ['drop', 'id-1', 'id-2', '--yes']])(
    'is not taken for an empty answer where it breaks off: %s',
    async (...args) => {
      isBrokenOff = true
      await expect(run(...args)).rejects.toMatchObject({
        exitCode: 1,
        message: expect.stringMatching(/sent an incomplete response \(200\): /),
      })
      expect(written).toBe('')
    },
  )

  it('says what did not answer, and what is in progress', async () => {
    await run('stuck', '--after', '9')
    expect(written).toMatch(/^id-8 .*in progress/m)
    expect(written).toMatch(/^id-7 .*did not answer/m)
    expect(written).toMatch(/^id-6 .*never/m)
  })

  it.each([
    { args: ['stuck', '--limit', '101'], message: '--limit' },
    { args: ['stuck', '--after', '0'], message: '--after' },
    { args: ['dead-letters', '--after', 'x'], message: '--after' },
  ])('is not asked for with $args', async ({ args, message }) => {
    await expect(run(...args)).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining(message),
    })
    expect(asked).toEqual([])
  })
})

/** Standard input. */
function typeIn(text: string): void {
  vi.spyOn(process, 'stdin', 'get').mockReturnValue(Readable.from([text]) as never)
}

describe('many ids on the command line', () => {
  it.each([
    {
      args: ['resolve', 'id-1', 'id-2', '--outcome', 'not_executed'],
      path: '/operations/resolve',
      body: { outcome: 'not_executed' },
    },
    { args: ['replay', 'id-1', 'id-2'], path: '/dead-letters/replay', body: {} },
    {
      args: ['replay', 'id-1', 'id-2', '--override'],
      path: '/dead-letters/replay',
      body: { override: true },
    },
    { args: ['drop', 'id-1', 'id-2', '--yes'], path: '/dead-letters/drop', body: {} },
  ])('are changed with one request: $args', async ({ args, path, body }) => {
    await run(...args)
    expect(asked).toEqual([{ url: path, body: { ids: ['id-1', 'id-2'], ...body } }])
    expect(written).toBe('id-1  done\nid-2  done\n')
  })

  it('come from standard input, one a line, each once, in batches', async () => {
    typeIn([...ALL_IDS, '', 'id-7', '  id-3  '].join('\r\n'))
    await run('replay', '-', '--json')
    expect(asked.map(({ body }) => body.ids?.length)).toEqual([100, 100, 50])
    const { results } = JSON.parse(written) as { results: { id: string }[] }
    expect(results.map(({ id }) => id)).toEqual(ALL_IDS)
  })

  it('tell of each that was not done, and end with 1', async () => {
    await expect(run('replay', 'id-1', 'id-refused')).rejects.toMatchObject({
      exitCode: 1,
      message: '1 of 2 were done.',
    })
    expect(written).toBe('id-1        done\nid-refused  refused  no\n')
  })

  it.each([true, false])('say from where on nothing is known, with JSON: %s', async (isJson) => {
    brokenBatch = 'id-120'
    typeIn(ALL_IDS.join('\n'))
    await expect(run('replay', '-', ...(isJson ? ['--json'] : []))).rejects.toMatchObject({
      exitCode: 1,
      message: 'It failed. (500) 100 of 250 were done. The results from id-150 on are not known.',
    })
    const ids = isJson
      ? (JSON.parse(written) as { results: { id: string }[] }).results.map(({ id }) => id)
      : idsOf(written)
    expect(ids).toEqual(ALL_IDS.slice(0, 100))
    expect(asked).toHaveLength(2)
  })

  it('may begin like an option', async () => {
    const [one, other] = [`-${'a'.repeat(42)}`, `--${'b'.repeat(41)}`]
    await run('resolve', one, '--outcome', 'not_executed', other)
    expect(asked[0]?.body.ids).toEqual([one, other])
    await run('dead-letters', `${other}:claim:1`, '--json')
    expect(asked[1]?.url).toBe(`/dead-letters/${other}%3Aclaim%3A1`)
  })

  it.each([
    { args: ['drop', 'id-1', 'id-2'], message: '--yes' },
    { args: ['resolve', 'id-1', 'id-2'], message: '--outcome' },
    { args: ['erase', 'id-1', 'id-2', '--yes'], message: 'expects 1 id' },
    { args: ['release', '-', 'id-2'], message: 'expects 1 id' },
  ])('are not taken: $args', async ({ args, message }) => {
    await expect(run(...args)).rejects.toThrow(message)
    expect(asked).toEqual([])
  })

  it('are missed where standard input has none', async () => {
    typeIn('\n\n')
    await expect(run('replay', '-')).rejects.toThrow('Specify at least one id.')
  })

  it('overrides what was decided about one letter', async () => {
    await run('replay', 'id-1', '--override')
    expect(asked).toEqual([{ url: '/dead-letters/id-1/replay', body: { override: true } }])
  })
})
