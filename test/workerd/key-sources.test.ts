import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  body,
  business,
  createGateway,
  credential,
  from,
  header,
  idempotent,
  mcp,
  param,
  type PolicyOptions,
  protect,
  query,
  repeatability,
} from '../../src/hapax.ts'
import { type Asked, askerOf, type ProblemBody, refusal } from './ask.ts'
import { word } from './gateway.ts'
import { playOrigin } from './origin.ts'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

let tenants = 0

/** A gateway with one route, its own tenant and an origin that counts; JSON unless a request says otherwise. */
function routeWith(policy: PolicyOptions) {
  const origin = playOrigin(() => new Response(String(origin.requests.length), { status: 201 }))
  const app = createGateway({ tenant: credential('Authorization') })
  app.on(['POST', 'PUT', 'GET'], '/payments', protect(policy))
  app.post('/refunds', protect(policy))
  const ask = askerOf(app)
  tenants += 1
  const own = { Authorization: `Bearer key-sources-${tenants}`, 'Content-Type': 'application/json' }
  const post = (path: string, asked: Asked) =>
    ask(path, { ...asked, headers: { ...own, ...asked.headers } })
  return { origin, post, pay: (asked: Asked) => post('/payments', asked) }
}

const json = (value: unknown): Asked => ({ body: JSON.stringify(value) })
const form = (text: string): Asked => ({
  body: text,
  headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
})
const detailOf = async (response: Response) => (await response.json<ProblemBody>()).detail

describe('header', () => {
  it('reads the key from a field of another name, whatever its case and quotes', async () => {
    const { origin, pay } = routeWith({ key: header('PayPal-Request-Id') })
    const first = await pay({ ...json({}), headers: { 'PayPal-Request-Id': 'k' } })
    const again = await pay({ ...json({}), headers: { 'paypal-request-id': '"k"' } })
    expect([word(first), word(again)]).toEqual(['executed', 'replayed'])
    expect(await again.text()).toBe('1')
    expect(origin.requests).toHaveLength(1)
  })

  it('takes no key from the default field then, and says which one it wants', async () => {
    const { origin, pay } = routeWith({ key: header('PayPal-Request-Id') })
    const missing = await pay({ ...json({}), headers: { 'Idempotency-Key': 'k' } })
    expect(refusal(missing)).toEqual([400, 'key-missing'])
    expect(await detailOf(missing)).toContain('the header PayPal-Request-Id')
    expect(origin.requests).toHaveLength(0)
  })

  it('refuses what is no key there', async () => {
    const { origin, pay } = routeWith({ key: header('PayPal-Request-Id') })
    const bad = await pay({ ...json({}), headers: { 'PayPal-Request-Id': 'a, b' } })
    expect(refusal(bad)).toEqual([400, 'key-invalid'])
    expect(origin.requests).toHaveLength(0)
  })

  it('gives the origin the derived key beside the field that the client has sent', async () => {
    const { origin, pay } = routeWith({ key: header('PayPal-Request-Id') })
    await pay({ ...json({}), headers: { 'PayPal-Request-Id': 'k' } })
    expect(origin.requests[0]?.headers.get('Idempotency-Key')).toMatch(/^[\w-]{43}$/)
    expect(origin.requests[0]?.headers.get('PayPal-Request-Id')).toBe('k')
  })
})

describe('body', () => {
  it.each([
    {
      name: 'a member of JSON',
      pointer: '/idempotency_key',
      first: json({ idempotency_key: 'k', amount: 1 }),
      again: { body: '{ "amount": 1.0, "idempotency_key": "\\u006b" }' },
    },
    {
      name: 'a member deep in JSON',
      pointer: '/meta/keys/1',
      first: json({ meta: { keys: ['x', 'k'] } }),
      again: { body: '{"meta" : {"keys":["x","k"]}}' },
    },
    {
      name: 'a member whose name needs escaping',
      pointer: '/a~1b~0c',
      first: json({ 'a/b~c': 'k' }),
      again: json({ 'a/b~c': 'k' }),
    },
    {
      name: 'a field of a form',
      pointer: '/idempotency_key',
      first: form('amount=1&idempotency_key=a+k'),
      again: form('idempotency_key=a%20k&amount=1'),
    },
  ])('reads the key from $name', async ({ pointer, first, again }) => {
    const { origin, pay } = routeWith({ key: body(pointer) })
    expect(word(await pay(first))).toBe('executed')
    const second = await pay(again)
    expect([word(second), await second.text()]).toEqual(['replayed', '1'])
    expect(origin.requests).toHaveLength(1)
  })

  it('reads the key of a compressed body', async () => {
    const { origin, pay } = routeWith({ key: body('/id') })
    const compressed = async (text: string): Promise<Asked> => {
      const stream = new Blob([text]).stream().pipeThrough(new CompressionStream('gzip'))
      const headers = { 'Content-Encoding': 'gzip' }
      return { body: await new Response(stream).arrayBuffer(), headers }
    }
    await pay(await compressed('{"id":"k","amount":1}'))
    expect(word(await pay(await compressed('{"amount":1,"id":"k"}')))).toBe('replayed')
    expect(word(await pay(json({ id: 'k', amount: 1 })))).toBe('replayed')
    expect(origin.requests).toHaveLength(1)
  })

  it('is the whole key: another one is another operation, the same with another payload a mismatch', async () => {
    const { origin, pay } = routeWith({ key: body('/id') })
    await pay(json({ id: 'one', amount: 1 }))
    expect(word(await pay(json({ id: 'two', amount: 1 })))).toBe('executed')
    const reused = await pay(json({ id: 'one', amount: 2 }))
    expect(refusal(reused)).toEqual([409, 'key-reused'])
    expect((await reused.json<ProblemBody>()).pointers).toEqual(['/amount'])
    expect(origin.requests).toHaveLength(2)
  })

  it('hands the body to the origin byte by byte', async () => {
    const { pay } = routeWith({ key: body('/id') })
    // Read where it arrives: a body that an object has sent is not to be read outside its turn.
    playOrigin(async (request) => new Response(await request.text()))
    const text = ' {"id":"k", "amount": 1.00}\n'
    expect(await (await pay({ body: text })).text()).toBe(text)
  })

  it.each([
    { name: 'has no such member', asked: json({ amount: 1 }) },
    { name: 'has null there', asked: json({ id: null }) },
    { name: 'is no object', asked: json(['k']) },
    { name: 'is a form without the field', asked: form('amount=1') },
    {
      name: 'is of another type',
      asked: { body: 'id=k', headers: { 'Content-Type': 'text/plain' } },
    },
  ])('says that the key is missing where the body $name', async ({ asked }) => {
    const { origin, pay } = routeWith({ key: body('/id') })
    const missing = await pay(asked)
    expect(refusal(missing)).toEqual([400, 'key-missing'])
    expect(await detailOf(missing)).toContain('a string at /id of the body')
    expect(origin.requests).toHaveLength(0)
  })

  it.each([
    { name: 'a number', asked: json({ id: 1 }), says: /not one string/ },
    { name: 'a boolean', asked: json({ id: true }), says: /not one string/ },
    { name: 'an object', asked: json({ id: { k: 1 } }), says: /not one string/ },
    { name: 'a list', asked: json({ id: ['k'] }), says: /not one string/ },
    { name: 'an empty object', asked: json({ id: {} }), says: /not one string/ },
    { name: 'empty', asked: json({ id: '' }), says: /empty/ },
    { name: 'empty in a form', asked: form('id='), says: /empty/ },
    { name: '256 characters long', asked: json({ id: 'k'.repeat(256) }), says: /256 characters/ },
    { name: 'not ASCII', asked: json({ id: 'clé' }), says: /printable ASCII/ },
    { name: 'not ASCII in a form', asked: form('id=cl%C3%A9'), says: /printable ASCII/ },
    { name: 'a control character', asked: json({ id: 'a\nb' }), says: /printable ASCII/ },
  ])('refuses a key that is $name', async ({ asked, says }) => {
    const { origin, pay } = routeWith({ key: body('/id') })
    const bad = await pay(asked)
    expect(refusal(bad)).toEqual([400, 'key-invalid'])
    expect(await detailOf(bad)).toMatch(says)
    expect(origin.requests).toHaveLength(0)
  })

  it('takes 255 characters, and those that a bare header cannot hold', async () => {
    const { pay } = routeWith({ key: body('/id') })
    expect(word(await pay(json({ id: 'k'.repeat(255) })))).toBe('executed')
    expect(word(await pay(json({ id: 'a, "b" c' })))).toBe('executed')
  })

  it.each([
    { name: 'cut off', text: '{"id":"k"' },
    { name: 'blank', text: ' ' },
    { name: 'given the key twice', text: '{"id":"k","id":"l"}' },
    { name: 'led by a byte order mark', text: '\uFEFF{"id":"k"}' },
  ])('refuses JSON that is $name as a payload, and forwards nothing', async ({ text }) => {
    const { origin, pay } = routeWith({ key: body('/id') })
    expect(refusal(await pay({ body: text }))).toEqual([400, 'payload-invalid'])
    expect(origin.requests).toHaveLength(0)
  })

  it('finds no key in an empty body, whatever its type', async () => {
    const { origin, pay } = routeWith({ key: body('/id') })
    expect(refusal(await pay({ body: '' }))).toEqual([400, 'key-missing'])
    expect(origin.requests).toHaveLength(0)
  })

  it('refuses a body over the limit of the route before it looks for the key', async () => {
    const { origin, pay } = routeWith({ key: body('/id'), limits: { request: 20 } })
    const big = await pay(json({ id: 'k', note: 'x'.repeat(20) }))
    expect(refusal(big)).toEqual([413, 'payload-too-large'])
    expect(origin.requests).toHaveLength(0)
  })

  it('takes none of two fields of one name in a form', async () => {
    const { origin, pay } = routeWith({ key: body('/id') })
    const twice = await pay(form('id=a&id=b'))
    expect(twice.status).toBe(400)
    expect(origin.requests).toHaveLength(0)
  })
})

describe('business', () => {
  const key = business('/order', '/attempt')
  const ORDER = '{"order":"o-1","attempt":1,"amount":5}'

  it.each([
    { name: 'the same bytes', again: ORDER },
    { name: 'another order of members', again: '{ "amount":5, "attempt":1, "order":"o-1" }' },
    { name: '1.0 for 1', again: '{"order":"o-1","attempt":1.0,"amount":5}' },
    { name: '10e-1 for 1', again: '{"order":"o-1","attempt":10e-1,"amount":5}' },
    { name: 'an escaped letter', again: '{"order":"\\u006f-1","attempt":1,"amount":5}' },
  ])('is one operation for $name', async ({ again }) => {
    const { origin, pay } = routeWith({ key })
    await pay({ body: ORDER })
    const second = await pay({ body: again })
    expect([second.status, word(second), await second.text()]).toEqual([201, 'replayed', '1'])
    expect(origin.requests).toHaveLength(1)
  })

  it.each([
    { name: 'another order', other: '{"order":"o-2","attempt":1,"amount":5}' },
    { name: 'another attempt', other: '{"order":"o-1","attempt":2,"amount":5}' },
    { name: 'a string for a number', other: '{"order":"o-1","attempt":"1","amount":5}' },
    { name: 'a boolean for a number', other: '{"order":"o-1","attempt":true,"amount":5}' },
    { name: 'the values exchanged', other: '{"order":1,"attempt":"o-1","amount":5}' },
  ])('is another operation for $name', async ({ other }) => {
    const { origin, pay } = routeWith({ key })
    await pay({ body: ORDER })
    expect(word(await pay({ body: other }))).toBe('executed')
    expect(origin.requests).toHaveLength(2)
  })

  it('tells large numbers apart that no double can', async () => {
    const { origin, pay } = routeWith({ key: business('/order') })
    await pay({ body: '{"order":9007199254740993}' })
    expect(word(await pay({ body: '{"order":9007199254740992}' }))).toBe('executed')
    expect(origin.requests).toHaveLength(2)
  })

  it('does not let letters move from one value to the next', async () => {
    const { origin, pay } = routeWith({ key })
    await pay(json({ order: 'ab', attempt: 'c' }))
    expect(word(await pay(json({ order: 'a', attempt: 'bc' })))).toBe('executed')
    expect(origin.requests).toHaveLength(2)
  })

  it.each([
    { name: 'not there', asked: { body: '{"order":"o-1"}' } },
    { name: 'null', asked: { body: '{"order":"o-1","attempt":null}' } },
    { name: 'an object', asked: { body: '{"order":"o-1","attempt":{}}' } },
    { name: 'a list', asked: { body: '{"order":"o-1","attempt":[1]}' } },
    { name: 'not in the form', asked: form('order=o-1') },
  ])('is missing where a value is $name', async ({ asked }) => {
    const { origin, pay } = routeWith({ key })
    const missing = await pay(asked)
    expect(refusal(missing)).toEqual([400, 'key-missing'])
    expect(await detailOf(missing)).toContain('values at /order and /attempt of the body')
    expect(origin.requests).toHaveLength(0)
  })

  it('is a mismatch with the same ids and another payload', async () => {
    const { origin, pay } = routeWith({ key })
    await pay({ body: ORDER })
    const reused = await pay({ body: '{"order":"o-1","attempt":1,"amount":6}' })
    expect(refusal(reused)).toEqual([409, 'key-reused'])
    expect((await reused.json<ProblemBody>()).pointers).toEqual(['/amount'])
    expect(origin.requests).toHaveLength(1)
  })

  it('reads a form likewise', async () => {
    const { origin, pay } = routeWith({ key })
    await pay(form('order=o%2D1&attempt=1'))
    expect(word(await pay(form('attempt=1&order=o-1')))).toBe('replayed')
    expect(word(await pay(form('attempt=2&order=o-1')))).toBe('executed')
    expect(origin.requests).toHaveLength(2)
  })

  it('is another operation on another route', async () => {
    const { origin, post } = routeWith({ key })
    await post('/payments', { body: ORDER })
    const refund = await post('/refunds', { body: ORDER })
    expect([refund.status, word(refund)]).toEqual([201, 'executed'])
    expect(origin.requests).toHaveLength(2)
  })

  it('is the same key on two routes of one operation name', async () => {
    const { origin, post } = routeWith({ key, operation: 'money' })
    await post('/payments', { body: ORDER })
    const refund = await post('/refunds', { body: ORDER })
    expect(refusal(refund)).toEqual([409, 'key-reused'])
    expect((await refund.json<ProblemBody>()).differs).toEqual(['path'])
    expect(origin.requests).toHaveLength(1)
  })

  it('is not held against the format of clients’ keys', async () => {
    const { pay } = routeWith({ key, keyFormat: 'uuid' })
    expect(word(await pay({ body: ORDER }))).toBe('executed')
  })
})

describe('query', () => {
  it('reads the key from a parameter, decoded', async () => {
    const { origin, post } = routeWith({ key: query('k') })
    expect(word(await post('/payments?k=a%20b&x=1', json({})))).toBe('executed')
    expect(word(await post('/payments?x=1&k=a+b', json({})))).toBe('replayed')
    expect(refusal(await post('/payments?x=1', json({})))).toEqual([400, 'key-missing'])
    expect(origin.requests).toHaveLength(1)
  })

  it.each([
    { what: 'twice', search: 'k=a&k=a' },
    { what: 'without a value', search: 'k=' },
    { what: 'with what no key may hold', search: 'k=%00' },
    { what: 'too long', search: `k=${'x'.repeat(256)}` },
  ])('refuses a parameter $what', async ({ search }) => {
    const { origin, post } = routeWith({ key: [query('k'), header('X-Key')] })
    const answer = await post(`/payments?${search}`, { ...json({}), headers: { 'X-Key': 'b' } })
    expect(refusal(answer)).toEqual([400, 'key-invalid'])
    expect(origin.requests).toHaveLength(0)
  })

  it('is held against the format of keys', async () => {
    const { post } = routeWith({ key: query('k'), keyFormat: 'uuid' })
    expect(refusal(await post('/payments?k=a', json({})))).toEqual([400, 'key-invalid'])
  })
})

describe('param', () => {
  const put = (policy: PolicyOptions) => {
    const origin = playOrigin(() => Response.json(origin.requests.length, { status: 201 }))
    const app = createGateway({ tenant: credential('Authorization') })
    app.put('/transfers/:id', protect(policy))
    app.put('/payouts/:id?', protect(policy))
    const ask = askerOf(app)
    tenants += 1
    const headers = { Authorization: `Bearer param-${tenants}`, 'Content-Type': 'application/json' }
    const send = (path: string, sent: unknown) =>
      ask(path, { method: 'PUT', headers, body: JSON.stringify(sent) })
    return { origin, send }
  }

  it('reads the key from the path, decoded, and counts it within the operation', async () => {
    const { origin, send } = put({ key: param('id') })
    expect(word(await send('/transfers/a%2Fb', { n: 1 }))).toBe('executed')
    expect(word(await send('/transfers/a%2fb', { n: 1 }))).toBe('replayed')
    expect(refusal(await send('/transfers/a%2Fb', { n: 2 }))).toEqual([409, 'key-reused'])
    expect(word(await send('/transfers/b', { n: 1 }))).toBe('executed')
    expect(word(await send('/payouts/b', { n: 1 }))).toBe('executed')
    expect(origin.requests).toHaveLength(3)
  })

  it('is missing where an optional parameter is', async () => {
    const { send } = put({ key: param('id') })
    expect(refusal(await send('/payouts', {}))).toEqual([400, 'key-missing'])
  })

  it('is held against the format of keys', async () => {
    const { send } = put({ key: param('id'), keyFormat: 'uuid' })
    expect(refusal(await send('/transfers/a', {}))).toEqual([400, 'key-invalid'])
    expect(word(await send(`/transfers/${crypto.randomUUID()}`, {}))).toBe('executed')
  })

  it('fails at start where the path has no such parameter', () => {
    expect(() => put({ key: [param('payment'), header('X-Key')] })).toThrow(
      'PUT /transfers/:id is not valid:\n  key: param(name)',
    )
  })
})

describe('from', () => {
  it.each<{ what: string; key: PolicyOptions['key'] }>([
    { what: 'headers', key: from((c) => c.req.header('X-Job')?.split('/')[1]) },
    { what: 'the body', key: from(async (c) => (await c.req.json<{ job: string }>()).job) },
    {
      what: 'the request itself',
      key: from(async (c) => (await c.req.raw.json<{ job: string }>()).job),
    },
    {
      what: 'a clone of the request, behind another function',
      key: [
        from(async (c) => (await c.req.raw.json<{ none?: string }>()).none),
        from(async (c) => (await c.req.raw.clone().json<{ job: string }>()).job),
      ],
    },
    {
      what: 'the body behind another source',
      key: [body('/none'), from(async (c) => JSON.parse(await c.req.text()).job as string)],
    },
  ])('reads the key from $what', async ({ key }) => {
    const { pay } = routeWith({ key })
    playOrigin(async (request) => new Response(await request.text()))
    const sent = (job: string) => ({ ...json({ job }), headers: { 'X-Job': `x/${job}` } })
    expect(word(await pay(sent('1')))).toBe('executed')
    expect(word(await pay(sent('1')))).toBe('replayed')
    const other = await pay(sent('2'))
    expect([word(other), await other.json()]).toEqual(['executed', { job: '2' }])
  })

  it('goes on to the next source where there is none, and leaves the body whole', async () => {
    const { origin, pay } = routeWith({
      key: [from(async (c) => (await c.req.json<{ no?: string }>()).no), from(() => null)],
      required: false,
    })
    expect(word(await pay(json({ a: 1 })))).toBe('unprotected')
    expect(await origin.requests[0]?.json()).toEqual({ a: 1 })
  })

  it('refuses a body over the limit of the route before it asks the function', async () => {
    const read = vi.fn(() => 'key')
    const { origin, pay } = routeWith({ key: from(read), limits: { request: 8 } })
    expect(refusal(await pay(json({ a: '12345678' })))).toEqual([413, 'payload-too-large'])
    expect(read).not.toHaveBeenCalled()
    expect(origin.requests).toHaveLength(0)
  })

  it('reads the body of what is only observed, and leaves it whole', async () => {
    const { origin, pay } = routeWith({
      key: from(async (c) => (await c.req.json<{ k: string }>()).k),
      mode: 'observe',
    })
    expect((await pay(json({ k: 'a' }))).status).toBe(201)
    expect(await origin.requests[0]?.json()).toEqual({ k: 'a' })
  })

  it.each([
    { what: 'throws', read: () => raise('card 4242') },
    { what: 'rejects', read: async () => raise('card 4242') },
    { what: 'returns no text', read: () => 42 as never },
  ])('claims nothing where it $what, and logs nothing of it', async ({ read }) => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => {})
    const { origin, pay } = routeWith({ key: [from(read), header('X-Key')], onStoreError: 'open' })
    const answer = await pay({ ...json({}), headers: { 'X-Key': 'k' } })
    expect(refusal(answer)).toEqual([500, 'gateway-misconfigured'])
    expect(log).toHaveBeenCalledOnce()
    expect(JSON.stringify(log.mock.calls)).not.toContain('42')
    expect(origin.requests).toHaveLength(0)
  })

  it('is held against the syntax and the format of keys', async () => {
    const { pay } = routeWith({ key: from((c) => c.req.header('X-Job')), keyFormat: 'uuid' })
    for (const job of ['1', 'é', 'x'.repeat(256)]) {
      const answer = await pay({ ...json({}), headers: { 'X-Job': job } })
      expect(refusal(answer)).toEqual([400, 'key-invalid'])
    }
  })
})

describe('the scope of a key', () => {
  /** Sends one id and body to two routes. @returns What became of both. */
  async function both(key: PolicyOptions['key'], headers: Record<string, string>) {
    const { origin, post } = routeWith({ key })
    const asked = { ...json({ id: 'evt_1', key: 'k' }), headers }
    const words = [word(await post('/payments', asked)), word(await post('/refunds', asked))]
    expect(word(await post('/payments', asked))).toBe('replayed')
    expect(origin.requests).toHaveLength(words[1] === 'executed' ? 2 : 1)
    return words[1]
  }

  it.each<{ name: string; key: PolicyOptions['key']; expected: string }>([
    { name: 'Idempotency-Key', key: header('Idempotency-Key'), expected: 'mismatch' },
    { name: 'a client’s own header', key: header('X-Key'), expected: 'mismatch' },
    { name: 'a webhook’s id', key: header('webhook-id'), expected: 'executed' },
    { name: 'a delivery', key: header('X-GitHub-Delivery'), expected: 'executed' },
    { name: 'the id in a body', key: body('/id'), expected: 'executed' },
    { name: 'a key in a body', key: body('/key'), expected: 'mismatch' },
    { name: 'a business key', key: business('/id'), expected: 'executed' },
    { name: 'a function', key: from(() => 'one'), expected: 'executed' },
    {
      name: 'a webhook’s id that is said to be the tenant’s',
      key: header('webhook-id', { scope: 'tenant' }),
      expected: 'mismatch',
    },
    {
      name: 'a client’s header that is said to be the operation’s',
      key: header('X-Key', { scope: 'operation' }),
      expected: 'executed',
    },
    {
      name: 'an id in a body that is said to be the tenant’s',
      key: body('/id', { scope: 'tenant' }),
      expected: 'mismatch',
    },
  ])('makes a second route with $name: $expected', async ({ key, expected }) => {
    const headers = {
      'Idempotency-Key': 'k',
      'X-Key': 'k',
      'webhook-id': 'k',
      'X-GitHub-Delivery': 'k',
    }
    expect(await both(key, headers)).toBe(expected)
  })

  it('is still a mismatch on one route with another body', async () => {
    const { pay } = routeWith({ key: header('webhook-id') })
    const headers = { 'webhook-id': 'msg_1' }
    expect(word(await pay({ ...json({ a: 1 }), headers }))).toBe('executed')
    expect(refusal(await pay({ ...json({ a: 2 }), headers }))).toEqual([409, 'key-reused'])
  })

  it.each<{ name: string; pattern: string; paths: [string, string]; key: PolicyOptions['key'] }>([
    {
      name: 'a webhook’s id',
      pattern: '/hooks/:name',
      paths: ['/hooks/billing', '/hooks/crm'],
      key: header('webhook-id'),
    },
    {
      name: 'a parameter',
      pattern: '/shops/:shop/orders/:order',
      paths: ['/shops/1/orders/5', '/shops/2/orders/5'],
      key: param('order'),
    },
    {
      name: 'a business key',
      pattern: '/accounts/:account/payments',
      paths: ['/accounts/a/payments', '/accounts/b/payments'],
      key: business('/order'),
    },
  ])('tells two paths of one pattern apart with $name', async ({ pattern, paths, key }) => {
    const origin = playOrigin(() => new Response('done', { status: 201 }))
    const app = createGateway({ tenant: credential('Authorization') })
    app.post(pattern, protect({ key }))
    const ask = askerOf(app)
    const headers = {
      Authorization: `Bearer ${crypto.randomUUID()}`,
      'Content-Type': 'application/json',
      'webhook-id': 'msg_1',
    }
    const send = async (path: string) => word(await ask(path, { ...json({ order: 7 }), headers }))
    const [one, other] = paths
    expect([await send(one), await send(other), await send(one)]).toEqual([
      'executed',
      'executed',
      'replayed',
    ])
    expect(origin.requests).toHaveLength(2)
  })

  it('is one operation on two routes that have one name', async () => {
    const { origin, post } = routeWith({ key: header('webhook-id'), operation: 'hook' })
    const asked = { ...json({}), headers: { 'webhook-id': 'msg_1' } }
    expect(word(await post('/payments', asked))).toBe('executed')
    expect(refusal(await post('/refunds', asked))).toEqual([409, 'key-reused'])
    expect(origin.requests).toHaveLength(1)
  })
})

function raise(text: string): never {
  throw new Error(text)
}

describe('a list of sources', () => {
  const key = [header('Idempotency-Key'), body('/id'), business('/order')]

  it.each([
    {
      name: 'the first',
      asked: { ...json({ id: 'b', order: 1 }), headers: { 'Idempotency-Key': 'k' } },
      same: { ...json({ id: 'b', order: 1 }), headers: { 'Idempotency-Key': '"k"' } },
    },
    {
      name: 'the second',
      asked: json({ id: 'b', order: 1 }),
      same: { body: '{"order":1.0,"id":"b"}' },
    },
    { name: 'the last', asked: json({ order: 1 }), same: { body: '{"order":1e0}' } },
  ])('takes the key from $name that has one', async ({ asked, same }) => {
    const { origin, pay } = routeWith({ key })
    await pay(asked)
    expect(word(await pay(same))).toBe('replayed')
    expect(origin.requests).toHaveLength(1)
  })

  it('does not look at the second where the first has one', async () => {
    const { origin, pay } = routeWith({ key })
    const asked = json({ id: 'same' })
    await pay({ ...asked, headers: { 'Idempotency-Key': 'a' } })
    expect(word(await pay({ ...asked, headers: { 'Idempotency-Key': 'b' } }))).toBe('executed')
    expect(origin.requests).toHaveLength(2)
  })

  it('refuses a malformed key rather than going on to the next source', async () => {
    const { origin, pay } = routeWith({ key })
    const bad = await pay({ ...json({ id: 'b' }), headers: { 'Idempotency-Key': 'a b' } })
    expect(refusal(bad)).toEqual([400, 'key-invalid'])
    expect(origin.requests).toHaveLength(0)
  })

  it.each([
    { name: 'an object', asked: json({ id: {}, order: 1 }) },
    { name: 'a list', asked: json({ id: ['k'], order: 1 }) },
  ])('refuses $name for a key rather than going on to the next source', async ({ asked }) => {
    const { origin, pay } = routeWith({ key })
    expect(refusal(await pay(asked))).toEqual([400, 'key-invalid'])
    expect(origin.requests).toHaveLength(0)
  })

  it('names all of them where none has a key', async () => {
    const { pay } = routeWith({ key })
    const missing = await pay(json({}))
    expect(await detailOf(missing)).toContain(
      'the header Idempotency-Key or a string at /id of the body or values at /order of the body',
    )
  })
})

describe('keyFormat', () => {
  const UUID = '0b9c2c9e-8a44-4d5c-9f3e-3f5d6a7b8c9d'

  it.each([
    { format: 'uuid' as const, key: UUID, expected: [201, null] },
    { format: 'uuid' as const, key: UUID.toUpperCase(), expected: [201, null] },
    { format: 'uuid' as const, key: `${UUID}0`, expected: [400, 'key-invalid'] },
    { format: 'uuid' as const, key: UUID.slice(1), expected: [400, 'key-invalid'] },
    { format: 'uuid' as const, key: 'order-1', expected: [400, 'key-invalid'] },
    { format: { minLength: 16 }, key: 'k'.repeat(16), expected: [201, null] },
    { format: { minLength: 16 }, key: 'k'.repeat(15), expected: [400, 'key-invalid'] },
    { format: { pattern: /^pay_\d+$/ }, key: 'pay_1', expected: [201, null] },
    { format: { pattern: /^pay_\d+$/ }, key: 'pay_x', expected: [400, 'key-invalid'] },
    {
      format: { pattern: /^pay_\d+$/, minLength: 6 },
      key: 'pay_1',
      expected: [400, 'key-invalid'],
    },
  ])('$format answers $expected for $key', async ({ format, key, expected }) => {
    const { origin, pay } = routeWith({ keyFormat: format })
    const answer = await pay({ ...json({}), headers: { 'Idempotency-Key': key } })
    expect(refusal(answer)).toEqual(expected)
    expect(origin.requests).toHaveLength(expected[0] === 201 ? 1 : 0)
  })

  it('takes each good key, also with a pattern that remembers where it stood', async () => {
    const { pay } = routeWith({ keyFormat: { pattern: /pay_\d+/g } })
    for (const key of ['pay_1', 'pay_2', 'pay_3']) {
      expect((await pay({ ...json({}), headers: { 'Idempotency-Key': key } })).status).toBe(201)
    }
  })

  it('holds for a key in the body too, and does not repeat it', async () => {
    const { origin, pay } = routeWith({ key: body('/id'), keyFormat: 'uuid' })
    const bad = await pay(json({ id: 'marked-key' }))
    expect(refusal(bad)).toEqual([400, 'key-invalid'])
    const text = await bad.text()
    expect(text).toContain('uuid')
    expect(text).not.toContain('marked-key')
    expect(word(await pay(json({ id: UUID })))).toBe('executed')
    expect(origin.requests).toHaveLength(1)
  })
})

describe('repeatability', () => {
  const ID = 'aa11bb22-cc33-dd44-ee55-ff6677889900'
  const now = () => new Date().toUTCString()
  const sent = (id: string | null, firstSent: string | null, more: Asked = {}): Asked => ({
    ...json({ amount: 1 }),
    ...more,
    headers: {
      ...(id === null ? {} : { 'Repeatability-Request-ID': id }),
      ...(firstSent === null ? {} : { 'Repeatability-First-Sent': firstSent }),
    },
  })
  const result = (response: Response) => response.headers.get('Repeatability-Result')

  it('replays what was sent first, and says of both that it was accepted', async () => {
    const { origin, pay } = routeWith({ key: repeatability() })
    const firstSent = now()
    const first = await pay(sent(ID, firstSent))
    const again = await pay(sent(ID, firstSent))
    expect([first.status, word(first), result(first)]).toEqual([201, 'executed', 'accepted'])
    expect([again.status, word(again), result(again)]).toEqual([201, 'replayed', 'accepted'])
    expect(await again.text()).toBe('1')
    expect(origin.requests).toHaveLength(1)
  })

  it('takes a UUID in either case for the same, and other ids as they are', async () => {
    const { origin, pay } = routeWith({ key: repeatability() })
    await pay(sent(ID, now()))
    expect(word(await pay(sent(ID.toUpperCase(), now())))).toBe('replayed')
    await pay(sent('order-a', now()))
    expect(word(await pay(sent('order-A', now())))).toBe('executed')
    expect(origin.requests).toHaveLength(3)
  })

  it('says of a mismatch that it was rejected', async () => {
    const { origin, pay } = routeWith({ key: repeatability() })
    await pay(sent(ID, now()))
    const other = await pay(sent(ID, now(), json({ amount: 2 })))
    expect([...refusal(other), result(other)]).toEqual([409, 'key-reused', 'rejected'])
    expect(origin.requests).toHaveLength(1)
  })

  it('says of what the origin did not execute that it was rejected', async () => {
    const { pay } = routeWith({ key: repeatability() })
    playOrigin(() => new Response('busy', { status: 503 }))
    const busy = await pay(sent(ID, now()))
    expect([busy.status, word(busy), result(busy)]).toEqual([503, 'not-executed', 'rejected'])
  })

  it.each([
    { name: 'only an id', asked: () => sent(ID, null), says: /both/ },
    { name: 'only a time', asked: () => sent(null, now()), says: /both/ },
    { name: 'a time in ISO 8601', asked: () => sent(ID, new Date().toISOString()), says: /a date/ },
    { name: 'a time in words', asked: () => sent(ID, 'yesterday'), says: /a date/ },
    {
      name: 'a day that is none',
      asked: () => sent(ID, 'Tue, 99 Xyz 2026 10:00:00 GMT'),
      says: /a date/,
    },
    {
      name: 'a 31st of February',
      asked: () => sent(ID, 'Tue, 31 Feb 2099 10:00:00 GMT'),
      says: /a date/,
    },
    { name: 'another zone', asked: () => sent(ID, now().replace('GMT', 'CET')), says: /a date/ },
    { name: 'an id that is no key', asked: () => sent('a b', now()), says: /without quotes/ },
  ])('refuses $name', async ({ asked, says }) => {
    const { origin, pay } = routeWith({ key: repeatability() })
    const bad = await pay(asked())
    expect(refusal(bad)).toEqual([400, 'key-invalid'])
    expect(await detailOf(bad)).toMatch(says)
    expect(origin.requests).toHaveLength(0)
  })

  it.each([
    { name: 'a second more than', ago: 3_601_000, expected: [412, 'key-expired'] },
    { name: 'a minute less than', ago: 3_540_000, expected: [201, null] },
  ])('answers $expected to a first try $name the retention ago', async ({ ago, expected }) => {
    const { origin, pay } = routeWith({ key: repeatability(), retention: '1h' })
    const answer = await pay(sent(ID, new Date(Date.now() - ago).toUTCString()))
    expect(refusal(answer)).toEqual(expected)
    expect(origin.requests).toHaveLength(expected[0] === 201 ? 1 : 0)
  })

  it('says of what is refused for its two fields that it was rejected', async () => {
    const { pay } = routeWith({ key: repeatability(), retention: '1h' })
    const old = await pay(sent(ID, new Date(Date.now() - 7_200_000).toUTCString()))
    expect([old.status, result(old)]).toEqual([412, 'rejected'])
    const half = await pay(sent(ID, null))
    expect([half.status, result(half)]).toEqual([400, 'rejected'])
  })

  it('is missing without both fields, and a result is then not named', async () => {
    const { origin, pay } = routeWith({ key: repeatability() })
    const missing = await pay(sent(null, null))
    expect([...refusal(missing), result(missing)]).toEqual([400, 'key-missing', null])
    expect(origin.requests).toHaveLength(0)
  })

  it('does not count on GET: each is forwarded', async () => {
    const { origin, post } = routeWith({ key: repeatability(), required: false })
    const asked = {
      method: 'GET',
      headers: { 'Repeatability-Request-ID': ID, 'Repeatability-First-Sent': 'no date' },
    }
    const answers = [await post('/payments', asked), await post('/payments', asked)]
    expect(answers.map((answer) => [answer.status, word(answer), result(answer)])).toEqual([
      [201, 'unprotected', null],
      [201, 'unprotected', null],
    ])
    expect(origin.requests).toHaveLength(2)
  })

  it('stands beside a key in the default field', async () => {
    const { origin, pay } = routeWith({ key: [header('Idempotency-Key'), repeatability()] })
    const asked = sent(ID, now())
    const first = await pay({ ...asked, headers: { ...asked.headers, 'Idempotency-Key': 'k' } })
    expect([word(first), result(first)]).toEqual(['executed', null])
    expect(result(await pay(asked))).toBe('accepted')
    expect(origin.requests).toHaveLength(2)
  })
})

describe('mcp', () => {
  const messageOf = (method: string, more: object = {}) =>
    JSON.stringify({ jsonrpc: '2.0', id: 1, method, ...more })
  const CALL = messageOf('tools/call', {
    params: { name: 'pay', _meta: { idempotencyKey: 'k' } },
  })
  const RESULT = '{"jsonrpc":"2.0","id":1,"result":{}}'
  const typed = (type: string, more: Record<string, string> = {}) => ({
    'Content-Type': type,
    ...more,
  })

  // A server may be more generous than the standards are, as that of the SDK is, and read it as JSON.
  it.each([
    { name: 'a parameter without a value', headers: typed('application/json; charset') },
    { name: 'a malformed parameter', headers: typed('application/json;;=') },
    { name: 'a type that only names JSON', headers: typed('text/plain; as=application/json') },
    { name: 'a type of a form', headers: typed('application/x-www-form-urlencoded') },
    { name: 'no type', headers: typed('') },
    {
      name: 'a coding that nobody knows',
      headers: typed('application/json', { 'Content-Encoding': 'foo' }),
    },
    {
      name: 'a coding that is not known here',
      headers: typed('application/json', { 'Content-Encoding': 'zstd' }),
    },
    { name: 'another charset', headers: typed('application/json; charset=utf-7') },
    { name: 'two charsets', headers: typed('application/json; charset=utf-8; charset=utf-7') },
  ])('refuses a body with $name, whatever is in it', async ({ headers }) => {
    const { origin, pay } = routeWith({ key: mcp() })
    for (const text of [CALL, messageOf('tools/list'), '\u0000']) {
      expect(refusal(await pay({ body: text, headers }))).toEqual([400, 'payload-invalid'])
    }
    expect(origin.requests).toHaveLength(0)
  })

  it('refuses it also where a key is not required', async () => {
    const { origin, pay } = routeWith({ key: mcp(), required: false })
    const refused = await pay({ body: CALL, headers: typed('application/json; charset') })
    expect(refusal(refused)).toEqual([400, 'payload-invalid'])
    expect(origin.requests).toHaveLength(0)
  })

  it.each([
    'application/json; charset=UTF-8',
    'application/json;charset="utf8"',
    'Application/JSON',
    'application/json;',
  ])('takes a call as %s', async (type) => {
    const { pay } = routeWith({ key: mcp() })
    const origin = playOrigin(() => new Response(RESULT))
    const asked = { body: CALL, headers: typed(type) }
    expect([word(await pay(asked)), word(await pay(asked))]).toEqual(['executed', 'replayed'])
    expect(origin.requests).toHaveLength(1)
  })

  it('lets through what is no call', async () => {
    const { origin, pay } = routeWith({ key: mcp() })
    for (const text of [messageOf('tools/list'), '[]', 'null']) {
      const through = await pay({ body: text })
      expect([through.status, word(through)]).toEqual([201, null])
    }
    expect(origin.requests).toHaveLength(3)
  })

  it.each([
    { name: 'GET', method: 'GET', headers: { Accept: 'text/event-stream' } },
    { name: 'GET of a JSON type', method: 'GET', headers: typed('application/json') },
    { name: 'PUT of nothing', method: 'PUT', headers: typed('application/json') },
    { name: 'POST of nothing', method: 'POST', headers: typed('application/json') },
  ])('lets $name through, which has no body', async ({ method, headers }) => {
    const { origin, pay } = routeWith({ key: mcp() })
    const through = await pay({ method, headers })
    expect([through.status, word(through)]).toEqual([201, null])
    expect(origin.requests).toHaveLength(1)
  })

  it.each([
    { type: 'application/json', text: RESULT },
    { type: 'Application/JSON', text: RESULT },
    { type: 'application/json; charset', text: RESULT },
    { type: 'application/vnd.till+json', text: RESULT },
    { type: ' APPLICATION/Vnd.Till+Json;charset=utf-8', text: RESULT },
    { type: 'text/event-stream', text: `data: ${RESULT}\n\n` },
    { type: 'Text/Event-Stream;charset=utf-8', text: `data: ${RESULT}\n\n` },
  ])('answers a repeat under its own id in $type', async ({ type, text }) => {
    const { pay } = routeWith({ key: mcp() })
    playOrigin(() => new Response(text, { headers: { 'Content-Type': type } }))
    const own = CALL.replace('"id":1', '"id":"mine"')
    expect(await (await pay({ body: CALL })).text()).toBe(text)
    const again = await pay({ body: own })
    expect(word(again)).toBe('replayed')
    const marked = '"id":"mine","result":{"_meta":{"hapax/replayed":{"ageSeconds":0}}}'
    expect(await again.text()).toBe(text.replace('"id":1,"result":{}', marked))
  })

  it.each(['text/plain', 'application/jsonx', 'text/event-streams'])(
    'leaves a repeat as it is that is %s',
    async (type) => {
      const { pay } = routeWith({ key: mcp() })
      playOrigin(() => new Response(RESULT, { headers: { 'Content-Type': type } }))
      await pay({ body: CALL })
      const again = await pay({ body: CALL.replace('"id":1', '"id":2') })
      expect([word(again), await again.text()]).toEqual(['replayed', RESULT])
    },
  )

  it.each([
    { name: 'an object', key: {} },
    { name: 'a list', key: ['k'] },
  ])('refuses a call whose key is $name', async ({ key }) => {
    const { origin, pay } = routeWith({ key: mcp(), required: false })
    const call = messageOf('tools/call', { params: { _meta: { idempotencyKey: key } } })
    const refused = await pay({ body: call })
    expect(refusal(refused)).toEqual([200, 'key-invalid'])
    expect(await refused.json()).toMatchObject({ id: 1, error: { code: 400 } })
    expect(origin.requests).toHaveLength(0)
  })
})

describe('required: false', () => {
  const TEXT = ' {"amount": 1.00}\n'

  it.each([
    { name: 'body', key: body('/id') },
    { name: 'business', key: business('/order') },
    { name: 'a list', key: [body('/id'), business('/order')] },
  ])('forwards a request in which $name finds no key, whole', async ({ key }) => {
    const { origin, pay } = routeWith({ key, required: false })
    const answers = [await pay({ body: TEXT }), await pay({ body: TEXT })]
    expect(answers.map((answer) => [answer.status, word(answer)])).toEqual([
      [201, 'unprotected'],
      [201, 'unprotected'],
    ])
    expect(await Promise.all(origin.requests.map((request) => request.text()))).toEqual([
      TEXT,
      TEXT,
    ])
    expect(origin.requests[0]?.headers.has('Idempotency-Key')).toBe(false)
  })

  it('protects the request that has one', async () => {
    const { origin, pay } = routeWith({ key: body('/id'), required: false })
    await pay(json({ id: 'k' }))
    expect(word(await pay(json({ id: 'k' })))).toBe('replayed')
    expect(origin.requests).toHaveLength(1)
  })

  it('forwards bytes that are no text', async () => {
    const { origin, pay } = routeWith({ key: body('/id'), required: false })
    const bytes = Uint8Array.from({ length: 70_000 }, (_, index) => index % 256)
    await pay({ body: bytes, headers: { 'Content-Type': 'application/octet-stream' } })
    expect(new Uint8Array(await (origin.requests[0] as Request).arrayBuffer())).toEqual(bytes)
  })

  it('does not let a malformed key through', async () => {
    const { origin, pay } = routeWith({ key: body('/id'), required: false })
    expect(refusal(await pay(json({ id: 7 })))).toEqual([400, 'key-invalid'])
    expect(refusal(await pay(json({ id: { k: 1 } })))).toEqual([400, 'key-invalid'])
    expect(refusal(await pay(json({ id: ['k'] })))).toEqual([400, 'key-invalid'])
    expect(refusal(await pay({ body: '{"id":' }))).toEqual([400, 'payload-invalid'])
    expect(origin.requests).toHaveLength(0)
  })

  it('does not let two keys through', async () => {
    const { origin, pay } = routeWith({ key: body('/id'), required: false })
    expect(refusal(await pay(form('id=a&id=b')))).toEqual([400, 'key-invalid'])
    expect(origin.requests).toHaveLength(0)
  })

  it('leaves the body whole to a handler in the Worker', async () => {
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/grants', idempotent({ key: body('/id'), required: false }), async (c) =>
      c.text(await c.req.text()),
    )
    const headers = { Authorization: 'Bearer handler', 'Content-Type': 'application/json' }
    const answer = await askerOf(app)('/grants', { body: TEXT, headers })
    expect([word(answer), await answer.text()]).toEqual(['unprotected', TEXT])
  })
})
