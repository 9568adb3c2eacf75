import { createServer } from 'node:http'

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'

import { admin } from '../../../cli/admin.ts'
import { printDocument, printError } from '../../../cli/print.ts'
import { listen } from '../../../dev/local-server.ts'
import { HOSTILE, RAW, UNSEEN } from '../../fakes/unseen.ts'

const ENTRY = { id: HOSTILE, operation: HOSTILE, type: HOSTILE, tenant: HOSTILE, reason: HOSTILE }
const LETTER = {
  ...ENTRY,
  from: 'inbox',
  attempts: 1,
  at: HOSTILE,
  content: { [HOSTILE]: HOSTILE },
}
const VIEW = {
  ...ENTRY,
  attempts: [],
  [HOSTILE]: { [HOSTILE]: HOSTILE },
  owner: { kind: HOSTILE, leaseUntil: HOSTILE },
  result: { status: 201, bodyBytes: 1 },
  timeline: [{ at: HOSTILE, what: HOSTILE, detail: { [HOSTILE]: HOSTILE } }],
}
const ANSWERS: Readonly<Record<string, object>> = {
  '/stuck': {
    entries: [{ ...ENTRY, ageSeconds: 1, nextAttemptAt: HOSTILE }],
    next: null,
    total: 1,
  },
  '/dead-letters': { entries: [LETTER], next: null, total: 1 },
  '/dead-letters/a': LETTER,
  '/operations/a': VIEW,
}

const server = createServer((request, response) => {
  const found = ANSWERS[(request.url ?? '').replace('/_hapax/admin', '')]
  const problem = { detail: `${HOSTILE}: no` }
  const type = found === undefined ? 'application/problem+json' : 'application/json'
  response.writeHead(found === undefined ? 409 : 200, { 'Content-Type': type })
  // As JSON is allowed to stand: with as little escaped as can be.
  response.end(JSON.stringify(found ?? problem))
})

let url = ''
beforeAll(async () => {
  url = await listen(server)
})
afterAll(() => {
  server.close()
})

const written: string[] = []
beforeEach(() => {
  vi.stubEnv('HAPAX_ADMIN_TOKEN', 'token')
  const keep = (text: string | Uint8Array) => written.push(String(text)) > 0
  vi.spyOn(process.stdout, 'write').mockImplementation(keep)
  vi.spyOn(process.stderr, 'write').mockImplementation(keep)
})
afterEach(() => {
  written.length = 0
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
})

const COMMANDS = [['stuck'], ['dead-letters'], ['dead-letters', 'a'], ['operation', 'a']]

describe('admin, told what a terminal would obey', () => {
  it.each(COMMANDS.flatMap((args) => [args, [...args, '--json']]).map((args) => ({ args })))(
    'writes $args as text',
    async ({ args }) => {
      await admin([...args, '--url', url])
      const [text = ''] = written
      expect(text).not.toMatch(RAW)
      for (const { shown } of UNSEEN.filter((one) => !/[\t\r\n\b\0]/.test(one.text))) {
        expect(text).toContain(shown)
      }
    },
  )

  it.each(COMMANDS.map((args) => ({ args })))(
    'writes JSON of $args that says the same',
    async ({ args }) => {
      await admin([...args, '--json', '--url', url])
      const path = `/${args.join('/').replace('operation/', 'operations/')}`
      expect(JSON.parse(written[0] ?? '')).toEqual(ANSWERS[path])
    },
  )

  it('has one line for each entry, whatever it is called', async () => {
    await admin(['stuck', '--url', url])
    expect(written[0]?.trimEnd().split(/[\r\n\t]/)).toHaveLength(2)
  })

  it('repeats a refusal as one line of text', async () => {
    const failure: unknown = await admin(['replay', 'a', '--url', url]).catch((error) => error)
    const { message } = failure as Error
    expect(message).not.toMatch(/[\r\n\t]/)
    expect(message).not.toMatch(RAW)
    expect(message).toMatch(/: no \(409\)$/)
  })

  it('names a file as one line of text', async () => {
    const asked = ['resolve', 'a', '--outcome', 'failed', '--status', '402']
    const failure: unknown = await admin([...asked, '--body-file', './no\n\u001B[2J']).catch(
      (error) => error,
    )
    expect((failure as Error).message).toBe(String.raw`File not found: ./no\u000a\u001b[2J.`)
  })
})

describe('printError', () => {
  it('writes lines of text', () => {
    printError(`hapax: ${HOSTILE}\n`)
    expect(written[0]).not.toMatch(RAW)
  })
})

describe('printDocument', () => {
  const YAML = 'a: "\u200D"\n'
  const JSON_TEXT = '{"a":"\u009B"}\n'

  it.each([
    { what: 'YAML for a program as it is', text: YAML, isTTY: false, expected: YAML },
    { what: 'YAML for a reader as text', text: YAML, isTTY: true, expected: 'a: "\\u200d"\n' },
    {
      what: 'JSON for a program as text',
      text: JSON_TEXT,
      isTTY: false,
      expected: '{"a":"\\u009b"}\n',
    },
  ])('writes $what', ({ text, isTTY, expected }) => {
    const before = process.stdout.isTTY
    process.stdout.isTTY = isTTY
    printDocument(text)
    process.stdout.isTTY = before
    expect(written).toEqual([expected])
  })
})
