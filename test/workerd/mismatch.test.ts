import { runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  createGateway,
  credential,
  type IdempotencyObject,
  idempotent,
  type PolicyOptions,
  protect,
} from '../../src/hapax.ts'
import { type Asked, askerOf, type ProblemBody, refusal } from './ask.ts'
import { idOf } from './client.ts'
import { word } from './gateway.ts'
import { playOrigin, playSlowOrigin } from './origin.ts'

afterEach(() => vi.restoreAllMocks())

/** A request but for its key. */
interface Sent extends Asked {
  readonly path?: string
}

/** A gateway that is sent two requests with one key, one after the other. */
function gatewayWith(policy: PolicyOptions = {}) {
  const origin = playOrigin(() => new Response(String(origin.requests.length), { status: 201 }))
  const app = createGateway({ tenant: credential('Authorization') })
  app.on(['POST', 'PUT'], ['/payments', '/payments/:id', '/refunds'], protect(policy))
  const ask = askerOf(app)
  const send = (key: string, { path = '/payments', ...asked }: Sent) =>
    ask(path, {
      ...asked,
      headers: { Authorization: 'Bearer tenant-a', 'Idempotency-Key': key, ...asked.headers },
    })
  return { origin, send }
}

/** Sends both and reads what is said about the second. */
async function compare(first: Sent, second: Sent, policy: PolicyOptions = {}) {
  const { origin, send } = gatewayWith(policy)
  const key = crypto.randomUUID()
  expect(word(await send(key, first))).toBe('executed')
  const refused = await send(key, second)
  expect([...refusal(refused), word(refused)]).toEqual([409, 'key-reused', 'mismatch'])
  expect(origin.requests).toHaveLength(1)
  const text = await refused.text()
  return { key, send, text, document: JSON.parse(text) as ProblemBody }
}

const json = (text: string): Sent => ({
  body: text,
  headers: { 'Content-Type': 'application/json' },
})
const form = (text: string): Sent => ({
  body: text,
  headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
})
const multipart = (fields: Record<string, string | Blob>): Sent => {
  const data = new FormData()
  for (const [name, value] of Object.entries(fields)) data.append(name, value)
  return { body: data }
}

const bodyAt = (...pointers: string[]) => ({ differs: ['body'], pointers, queryPointers: [] })
const partOnly = (...differs: string[]) => ({ differs, pointers: [], queryPointers: [] })

describe('key-reused', () => {
  it.each([
    { name: 'a changed member', first: '{"a":1,"b":2}', second: '{"a":1,"b":3}', at: ['/b'] },
    { name: 'an added member', first: '{"a":1}', second: '{"a":1,"b":2}', at: ['/b'] },
    { name: 'a member left out', first: '{"a":1,"b":2}', second: '{"a":1}', at: ['/b'] },
    {
      name: 'a deep member',
      first: '{"a":{"b":[1,2]}}',
      second: '{"a":{"b":[1,3]}}',
      at: ['/a/b/1'],
    },
    {
      name: 'two members',
      first: '{"a":1,"b":2,"c":3}',
      second: '{"a":9,"b":2,"c":9}',
      at: ['/a', '/c'],
    },
    { name: 'a longer list', first: '{"a":[1]}', second: '{"a":[1,2]}', at: ['/a/1'] },
    { name: 'another type', first: '{"a":1}', second: '{"a":"1"}', at: ['/a'] },
    { name: 'null for nothing', first: '{"b":1}', second: '{"b":1,"a":null}', at: ['/a'] },
    { name: 'all members left out', first: '{"a":1}', second: '{}', at: ['/a'] },
    {
      name: 'a member added to an empty one',
      first: '{"a":{}}',
      second: '{"a":{"b":1}}',
      at: ['/a'],
    },
    {
      name: 'a name that is escaped',
      first: '{"a/b~c":1}',
      second: '{"a/b~c":2}',
      at: ['/a~1b~0c'],
    },
    {
      name: 'a number beyond doubles',
      first: '{"a":9007199254740993}',
      second: '{"a":9007199254740992}',
      at: ['/a'],
    },
    { name: '__proto__', first: '{"__proto__":1}', second: '{"__proto__":2}', at: ['/__proto__'] },
    { name: 'the whole of a scalar', first: '1', second: '2', at: [] },
  ])('points into JSON at $name', async ({ first, second, at }) => {
    const { document } = await compare(json(first), json(second))
    expect(document).toMatchObject(bodyAt(...at))
  })

  it('points at the members that were added to an empty object', async () => {
    const { document } = await compare(json('{}'), json('{"a":1,"b":2}'))
    expect(document).toMatchObject(bodyAt('/a', '/b'))
  })

  it('does not point at what means the same or is ignored', async () => {
    const { document } = await compare(
      json('{"a":1,"b":2,"sent_at":"x","t":"2026-01-01T00:00:00Z"}'),
      json('{"t":"2026-01-01T01:00:00+01:00","b":3,"sent_at":"y","a":1.0}'),
      { fingerprint: { ignore: ['/sent_at'], dates: ['/t'] } },
    )
    expect(document).toMatchObject(bodyAt('/b'))
  })

  it.each([
    { name: 'a changed field', first: 'a=1&b=2', second: 'a=1&b=3', at: ['/b'] },
    { name: 'an added field', first: 'a=1', second: 'a=1&b=2', at: ['/b'] },
    { name: 'a field left out', first: 'a=1&b=2', second: 'b=2', at: ['/a'] },
    { name: 'another order of one name', first: 'a=1&a=2&b=3', second: 'a=2&a=1&b=3', at: ['/a'] },
    {
      name: 'a name in brackets',
      first: 'card[no]=1',
      second: 'card%5Bno%5D=2',
      at: ['/card[no]'],
    },
    {
      name: 'a name beyond ASCII',
      first: 'pr%C3%A9nom=x',
      second: 'pr%C3%A9nom=y',
      at: ['/prénom'],
    },
  ])('points into a form at $name', async ({ first, second, at }) => {
    const { document } = await compare(form(first), form(second))
    expect(document).toMatchObject(bodyAt(...at))
  })

  it.each([
    { name: 'a field', first: { a: '1', b: '2' }, second: { a: '1', b: '3' }, at: ['/b'] },
    { name: 'an added field', first: { a: '1' }, second: { a: '1', b: '2' }, at: ['/b'] },
    {
      name: 'the bytes of a file',
      first: { a: '1', file: new Blob(['one'], { type: 'text/plain' }) },
      second: { a: '1', file: new Blob(['two'], { type: 'text/plain' }) },
      at: ['/file'],
    },
    {
      name: 'the type of a file',
      first: { file: new Blob(['x'], { type: 'text/plain' }) },
      second: { file: new Blob(['x'], { type: 'text/csv' }) },
      at: ['/file'],
    },
  ])('points into multipart at $name, whatever the boundary', async ({ first, second, at }) => {
    const { document } = await compare(multipart(first), multipart(second))
    expect(document).toMatchObject(bodyAt(...at))
  })

  it.each([
    { name: 'a changed value', first: '?a=1&b=2', second: '?a=1&b=3', at: ['/b'] },
    { name: 'an added one', first: '', second: '?b=2', at: ['/b'] },
    { name: 'one left out', first: '?a=1&b=2', second: '?b=2', at: ['/a'] },
  ])('points into the query at $name', async ({ first, second, at }) => {
    const { document } = await compare(
      { ...json('{"a":1}'), path: `/payments${first}` },
      { ...json('{"a":1}'), path: `/payments${second}` },
    )
    expect(document).toMatchObject({ differs: ['query'], pointers: [], queryPointers: at })
  })

  it.each([
    {
      name: 'the method',
      second: { ...json('{"a":1}'), method: 'PUT' },
      expected: partOnly('method'),
    },
    {
      name: 'the path',
      second: { ...json('{"a":1}'), path: '/refunds' },
      expected: partOnly('path'),
    },
    {
      name: 'the id in the path',
      second: { ...json('{"a":1}'), path: '/payments/7' },
      expected: partOnly('path'),
    },
    {
      name: 'method and path',
      second: { ...json('{"a":1}'), path: '/refunds', method: 'PUT' },
      expected: partOnly('method', 'path'),
    },
    {
      name: 'query and body',
      second: { ...json('{"a":2}'), path: '/payments?q=1' },
      expected: { differs: ['query', 'body'], pointers: ['/a'], queryPointers: ['/q'] },
    },
  ])('names $name', async ({ second, expected }) => {
    const { document } = await compare(json('{"a":1}'), second)
    expect(document).toMatchObject(expected)
  })

  it('names the media type, without pointers from one grammar into another', async () => {
    const { document } = await compare(json('{"a":1}'), form('a=1'))
    expect(document.differs).toContain('media-type')
    expect([document.pointers, document.queryPointers]).toEqual([[], []])
  })

  it('names the body where it cannot be looked into', async () => {
    const headers = { 'Content-Type': 'application/octet-stream' }
    const { document } = await compare({ body: 'one', headers }, { body: 'two', headers })
    expect(document).toMatchObject(partOnly('body'))
  })

  it('names headers where the policy says that one counts', async () => {
    const { headers, ...rest } = json('{"a":1}')
    const { document } = await compare(
      { ...rest, headers: { ...headers, 'X-Mode': 'live' } },
      { ...rest, headers: { ...headers, 'X-Mode': 'test' } },
      { fingerprint: { headers: ['X-Mode'] } },
    )
    expect(document).toMatchObject(partOnly('headers'))
  })

  it('names parts and pointers in its sentence too', async () => {
    const { document } = await compare(
      { ...json('{"a":1}'), path: '/payments?q=1' },
      { ...json('{"a":2}'), path: '/payments?q=2' },
    )
    expect(document.detail).toContain('They differ in query, body, at /a, query /q.')
    expect(document.error.message).toBe(document.detail)
  })

  it('still says that they differ where a body has too many places to keep apart', async () => {
    const list = (last: number) => JSON.stringify({ a: [...Array(200).keys(), last], b: 1 })
    const { document } = await compare(json(list(1)), json(list(2)))
    expect(document).toMatchObject(bodyAt('/a'))
  })

  it('still says that they differ where a body is too large to look into', async () => {
    const text = (value: number) => JSON.stringify({ a: 'x'.repeat(70_000), b: value })
    const { document } = await compare(json(text(1)), json(text(2)))
    expect(document).toMatchObject(partOnly('body'))
  })

  it('does not name a body that is equal, whatever else differs and however it is spelled', async () => {
    const { document } = await compare(
      { ...json('{"amount":1}'), path: '/payments?a=1' },
      { ...json(`{"amount":1}${' '.repeat(70_000)}`), path: '/payments?a=2' },
    )
    expect(document).toMatchObject({ differs: ['query'], pointers: [], queryPointers: ['/a'] })
  })

  it('does not name a body whose bytes are equal under another media type', async () => {
    const text = '{ "b":1, "a":2 }'
    const { document } = await compare(json(text), {
      body: text,
      headers: { 'Content-Type': 'text/plain' },
    })
    expect(document).toMatchObject(partOnly('media-type'))
  })

  it('stays small, however long the names of the client are', async () => {
    const name = '\u0001'.repeat(4_000)
    const { text } = await compare(
      json(JSON.stringify({ [name]: { a: 1 } })),
      json(`{${JSON.stringify(name)}:[${'0,'.repeat(10_000)}0]}`),
    )
    expect(text.length).toBeLessThan(65_536)
  })

  it('puts no line of the client’s into its sentence, nor into Markdown', async () => {
    const { send } = gatewayWith()
    const key = crypto.randomUUID()
    const NAME = 'x\n\n# Ignore **all** `before` <b>[a](b)\u2028\u202e'
    await send(key, { ...json(JSON.stringify({ [NAME]: 1 })), path: '/payments?a%0A%23b=1' })
    const other: Sent = { ...json(JSON.stringify({ [NAME]: 2 })), path: '/payments?a%0A%23b=2' }
    const told = await (await send(key, other)).json<ProblemBody>()
    expect(told.pointers).toEqual([`/${NAME}`])
    expect(told.queryPointers).toEqual(['/a\n#b'])
    // oxlint-disable-next-line no-control-regex -- they are what must not be there
    expect(told.detail).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202e]/)
    expect(told.detail).toContain(String.raw`/x\u000a\u000a# Ignore`)
    expect(told.error.message).toBe(told.detail)

    const Accept = { ...other.headers, Accept: 'text/markdown' }
    const markdown = await (await send(key, { ...other, headers: Accept })).text()
    const lines = markdown.split(/[\n\r\u2028]/)
    expect(lines.filter((line) => line.startsWith('#'))).toEqual([
      '# Idempotency-Key was used for another request',
    ])
    const NAMED = String.raw`x\u000a\u000a# Ignore **all** \u0060before\u0060 <b>[a](b)\u2028\u202e`
    expect(markdown).toContain(`\n- differs at: \`/${NAMED}\`\n`)
    expect(markdown).toContain('\n- differs at: query `' + String.raw`/a\u000a#b` + '`\n')
    expect(lines[2]).toContain(String.raw`\*\*all\*\*`)
    expect(lines[2]).toContain(String.raw`\<b\>\[a\](b)`)
  })

  it('is told while the first request still runs', async () => {
    const { send } = gatewayWith({ wait: 0 })
    const origin = playSlowOrigin(() => new Response('ok'))
    const first = send('running', json('{"a":1}'))
    await origin.asked()
    const refused = await send('running', json('{"a":2}'))
    expect(refusal(refused)).toEqual([409, 'key-reused'])
    expect((await refused.json<ProblemBody>()).pointers).toEqual(['/a'])
    origin.release()
    expect(word(await first)).toBe('executed')
    expect(origin.requests).toHaveLength(1)
  })

  it('is told of a handler in the Worker likewise', async () => {
    const app = createGateway({ tenant: credential('Authorization') })
    const handler = vi.fn(() => new Response('granted'))
    app.post('/grants', idempotent(), handler)
    const ask = askerOf(app)
    const grant = (body: string) =>
      ask('/grants', {
        body,
        headers: {
          Authorization: 'Bearer tenant-a',
          'Idempotency-Key': 'handled-mismatch',
          'Content-Type': 'application/json',
        },
      })
    await grant('{"user":"a"}')
    const refused = await grant('{"user":"b"}')
    expect(await refused.json()).toMatchObject(bodyAt('/user'))
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it('lists the pointers in Markdown', async () => {
    const { send } = gatewayWith()
    await send('markdown', { ...json('{"a":1,"b":{"c":1}}'), path: '/payments?q=1' })
    const { headers, ...rest } = json('{"a":2,"b":{"c":2}}')
    const refused = await send('markdown', {
      ...rest,
      path: '/payments?q=2',
      headers: { ...headers, Accept: 'text/markdown' },
    })
    expect(refused.headers.get('Content-Type')).toBe('text/markdown; charset=utf-8')
    const text = await refused.text()
    expect(text).toContain('\n- differs at: `/a`\n- differs at: `/b/c`\n- differs at: query `/q`\n')
    expect(text).toContain('query /q')
  })
})

/** Pairs of requests whose values are marked, and whose names are marked otherwise. */
const MARKED: readonly { name: string; first: Sent; second: Sent }[] = [
  {
    name: 'JSON',
    first: json('{"nameone":"valueone","names":{"nametwo":["valuetwo"]}}'),
    second: json('{"nameone":"valuethree","names":{"nametwo":["valuefour"]}}'),
  },
  {
    name: 'a form',
    first: form('nameone=valueone&nametwo=valuetwo'),
    second: form('nameone=valuethree&nametwo=valuefour'),
  },
  {
    name: 'a query',
    first: { ...json('{}'), path: '/payments?nameone=valueone' },
    second: { ...json('{}'), path: '/payments?nameone=valuetwo' },
  },
  {
    name: 'multipart',
    first: multipart({ nameone: 'valueone' }),
    second: multipart({ nameone: 'valuetwo' }),
  },
  {
    name: 'a path',
    first: { ...json('{}'), path: '/payments/valueone' },
    second: { ...json('{}'), path: '/payments/valuetwo' },
  },
]

/** Everything that the object of a key has on the disk, as text, table by table. */
async function readStorage(key: string): Promise<string> {
  const object = env.OPERATIONS.getByName(await idOf(key))
  return runInDurableObject(object, (_: IdempotencyObject, { storage: { sql } }) => {
    const decoder = new TextDecoder('latin1')
    const tables = sql
      .exec<{ name: string }>(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'",
      )
      .toArray()
    const rows = tables.flatMap(({ name }) => sql.exec(`SELECT * FROM "${name}"`).toArray())
    const cells = rows.flatMap((row) => Object.values(row))
    return cells
      .map((cell) => (cell instanceof ArrayBuffer ? decoder.decode(cell) : String(cell)))
      .join('\n')
  })
}

describe('after a mismatch', () => {
  it.each(MARKED)('no value of $name stands in the answer', async ({ first, second }) => {
    const { text, key } = await compare(first, second, {})
    // The instance of a problem is the path of the request that it answers: the caller's own.
    const { instance, ...rest } = JSON.parse(text) as { instance: string }
    expect(instance).not.toContain('valueone')
    expect(JSON.stringify(rest)).not.toMatch(/value(?:one|two|three|four)/)
    expect(text).not.toContain(key)
  })

  it.each(MARKED)(
    'the storage holds neither names nor values of $name',
    async ({ first, second }) => {
      const { key } = await compare(first, second)
      const stored = await readStorage(key)
      expect(stored).toContain('succeeded')
      expect(stored).not.toMatch(/name(?:one|two|s\b)|value(?:one|two|three|four)/)
      expect(stored).not.toContain(key)
    },
  )

  it.each(MARKED)('the first answer to $name is still replayed', async ({ first, second }) => {
    const { origin, send } = gatewayWith()
    const key = crypto.randomUUID()
    // A body is built anew each time, so that multipart has another boundary.
    await send(key, first)
    expect(word(await send(key, second))).toBe('mismatch')
    const again = await send(key, first)
    expect([again.status, word(again), await again.text()]).toEqual([201, 'replayed', '1'])
    expect(again.headers.get('Idempotent-Replayed')).toBe('true')
    expect(word(await send(key, second))).toBe('mismatch')
    expect(origin.requests).toHaveLength(1)
  })

  it('a new key executes what was refused', async () => {
    const { send } = await compare(json('{"a":1}'), json('{"a":2}'))
    const fresh = await send(crypto.randomUUID(), json('{"a":2}'))
    expect([word(fresh), await fresh.text()]).toEqual(['executed', '2'])
  })
})
