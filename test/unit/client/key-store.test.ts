import { describe, expect, it } from 'vitest'

import {
  createIdempotentFetch,
  type IdempotentFetchOptions,
  KeyExpiredError,
  type KeyStore,
  localStorageStore,
  memoryStore,
} from '../../../src/client.ts'
import { answer, lost, type Play, playServer, problem } from './played-server.ts'

const URL = 'https://api.test/payments'
const payment = { method: 'POST', body: '{"amount":500}' }

/** What a browser's `localStorage` does. */
class PlayedStorage {
  readonly texts = new Map<string, string>()
  getItem = (name: string) => this.texts.get(name) ?? null
  setItem = (name: string, text: string) => void this.texts.set(name, text)
  removeItem = (name: string) => void this.texts.delete(name)
}

/** Two calls, the second after a restart, at a server that answers the first one in some way. */
function restartAfter(plays: readonly Play[], options: IdempotentFetchOptions = {}) {
  const server = playServer(...plays)
  const store = memoryStore()
  const send = (init: RequestInit = payment, url = URL) =>
    createIdempotentFetch({ store, retry: { attempts: 1 }, ...server.options, ...options })(
      url,
      init,
    )
  return { ...server, send }
}

/** An answer whose connection is lost before its end. */
const brokenOff = () =>
  new Response(
    new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('stat'))
        controller.error(new TypeError('terminated'))
      },
    }),
    { status: 201 },
  )

const keysOf = ({ fieldsOf }: Pick<ReturnType<typeof playServer>, 'fieldsOf'>) =>
  fieldsOf('Idempotency-Key')

describe.each([
  { name: 'memoryStore', create: memoryStore },
  { name: 'localStorageStore', create: () => localStorageStore('hapax:', new PlayedStorage()) },
])('$name', ({ create }) => {
  it('keeps the first text of a name until this one is forgotten', async () => {
    const store = create()
    expect(await store.keep('a', '1')).toBe('1')
    expect(await store.keep('a', '2')).toBe('1')
    await store.forget('a', '2')
    expect(await store.keep('a', '3')).toBe('1')
    await store.forget('a', '1')
    expect(await store.keep('a', '4')).toBe('4')
    expect(await store.keep('b', '5')).toBe('5')
  })
})

describe('localStorageStore', () => {
  it('keeps texts under its prefix, also when it is created again', async () => {
    const storage = new PlayedStorage()
    await localStorageStore('ada:', storage).keep('a', '1')
    expect([...storage.texts]).toEqual([['ada:a', '1']])
    expect(await localStorageStore('ada:', storage).keep('a', '2')).toBe('1')
    expect(await localStorageStore('bob:', storage).keep('a', '3')).toBe('3')
  })
})

describe('the store of createIdempotentFetch', () => {
  it.each([
    { first: 'had no answer', play: () => lost() },
    { first: 'had a 500', play: () => answer(500) },
    { first: 'had a 503', play: () => answer(503) },
    { first: 'was told to come again', play: () => answer(409, { 'Retry-After': '1' }) },
    {
      first: 'is held',
      play: () => problem(502, { retry: 'never' }, { 'Hapax-Error': 'outcome-unknown' }),
    },
    {
      first: 'is held (409)',
      play: () => problem(409, { retry: 'never' }, { 'Hapax-Error': 'outcome-unknown' }),
    },
    { first: 'was accepted', play: () => answer(202, { 'Idempotency-Status': 'accepted' }) },
    {
      first: 'was answered, and is open',
      play: () => answer(200, { 'Idempotency-Status': 'unknown' }),
    },
    {
      first: 'was rejected, and is open',
      play: () => answer(404, { 'Idempotency-Status': 'unknown' }),
    },
    {
      first: 'was told so in JSON-RPC',
      play: () => answer(200, { 'Hapax-Error': 'outcome-unknown' }),
    },
  ])('goes on with the same key after a call that $first', async ({ play }) => {
    const call = restartAfter([play(), answer(201), answer(201)])
    await call.send().catch(() => {})
    await call.send()
    await call.send()
    const [first, second, third] = keysOf(call)
    expect(second).toBe(first)
    expect(third).not.toBe(first)
  })

  it.each([201, 303, 400, 401, 402, 404, 409, 422])(
    'makes another key after a call whose only answer is %i',
    async (status) => {
      const call = restartAfter([answer(status), answer(201)])
      await call.send()
      await call.send()
      const [first, second] = keysOf(call)
      expect(second).not.toBe(first)
    },
  )

  it('makes another key after a call that Hapax has refused', async () => {
    const refused = problem(401, { retry: 'never' }, { 'Hapax-Error': 'tenant-missing' })
    const call = restartAfter([refused, answer(201)])
    await call.send()
    await call.send()
    expect(new Set(keysOf(call)).size).toBe(2)
  })

  it.each([
    { status: 201, again: false },
    { status: 402, again: false },
    { status: 400, again: true },
    { status: 401, again: true },
    { status: 409, again: true },
    { status: 422, again: true },
    { status: 429, again: true },
  ])(
    'after a doubt, a $status is about the key and not the operation: $again',
    async ({ status, again }) => {
      const call = restartAfter([lost(), answer(status), answer(201)])
      await call.send().catch(() => {})
      await call.send()
      await call.send()
      const [first, , third] = keysOf(call)
      expect(third === first).toBe(again)
    },
  )

  it.each(['executed', 'replayed'])(
    'after a doubt, believes Hapax that an error is the outcome: %s',
    async (word) => {
      const failed = answer(422, { 'Idempotency-Status': word })
      const call = restartAfter([lost(), failed, answer(201)])
      await call.send().catch(() => {})
      await call.send()
      await call.send()
      const [first, second, third] = keysOf(call)
      expect(second).toBe(first)
      expect(third).not.toBe(first)
    },
  )

  it('counts an earlier try of the same call as a doubt', async () => {
    const call = restartAfter([lost(), answer(401), answer(201)], { retry: { attempts: 2 } })
    await call.send()
    await call.send()
    expect(new Set(keysOf(call)).size).toBe(1)
  })

  it('keeps the key until the answer is complete, and sends again what breaks off', async () => {
    const call = restartAfter([brokenOff(), brokenOff(), answer(201), answer(201)], {
      retry: { attempts: 2 },
    })
    await expect(call.send()).rejects.toThrow('terminated')
    const response = await call.send()
    expect([response.status, await response.text()]).toEqual([201, 'status 201'])
    await call.send()
    const [first, second, third, fourth] = keysOf(call)
    expect([second, third]).toEqual([first, first])
    expect(fourth).not.toBe(first)
  })

  it('does not wait for the end of a stream of events, and leaves the URL of an answer', async () => {
    const headers = { 'Content-Type': 'text/event-stream' }
    const endless = new Response(new ReadableStream(), { headers })
    const redirected = Object.defineProperty(answer(201), 'url', { value: `${URL}/17` })
    const call = restartAfter([endless, redirected])
    expect((await call.send()).status).toBe(200)
    expect((await call.send()).url).toBe(`${URL}/17`)
  })

  it('keeps the key while a call runs, so that it is there after a crash', async () => {
    const controller = new AbortController()
    const hang = () => {
      controller.abort(new Error('crash'))
      return new Promise<Response>(() => {})
    }
    const call = restartAfter([hang, answer(201)])
    const { signal } = controller
    await expect(call.send({ ...payment, signal })).rejects.toThrow('crash')
    await call.send()
    const [first, second] = keysOf(call)
    expect(second).toBe(first)
  })

  it('takes equal calls at the same time for one operation', async () => {
    const both = Promise.withResolvers<void>()
    const first = () => both.promise.then(() => answer(201))
    const second = () => {
      both.resolve()
      return answer(201)
    }
    const call = restartAfter([first, second])
    await Promise.all([call.send(), call.send()])
    expect(new Set(keysOf(call)).size).toBe(1)
  })

  it.each([
    { other: 'method', init: { ...payment, method: 'PUT' }, url: URL },
    { other: 'URL', init: payment, url: `${URL}?a=1` },
    { other: 'body', init: { ...payment, body: '{"amount":501}' }, url: URL },
    {
      other: 'body, by a byte that is no text',
      init: { ...payment, body: Uint8Array.of(0xff) },
      url: URL,
    },
  ])('keeps another key for a request with another $other', async ({ init, url }) => {
    const call = restartAfter([lost(), lost(), lost()])
    await call.send().catch(() => {})
    await call.send({ ...payment, body: Uint8Array.of(0xfe) }).catch(() => {})
    await call.send(init, url).catch(() => {})
    expect(new Set(keysOf(call)).size).toBe(3)
  })

  it('keeps the key of what the option says, whatever the request is', async () => {
    const intent = async (request: Request) => ((await request.json()) as { order: string }).order
    const call = restartAfter([lost(), lost(), lost()], { intent })
    for (const body of ['{"order":"a","at":1}', '{"order":"a","at":2}', '{"order":"b"}']) {
      await call.send({ ...payment, body }).catch(() => {})
    }
    const [first, second, third] = keysOf(call)
    expect(second).toBe(first)
    expect(third).not.toBe(first)
  })

  it('is not asked for a request that has its own key', async () => {
    const asked: string[] = []
    const store: KeyStore = {
      keep: (name, text) => (asked.push(name), text),
      forget: (name) => void asked.push(name),
    }
    const call = restartAfter([answer(201)], { store })
    await call.send({ ...payment, headers: { 'Idempotency-Key': 'mine' } })
    expect(asked).toEqual([])
  })

  it('shows nothing of the request', async () => {
    const storage = new PlayedStorage()
    const call = restartAfter([lost()], { store: localStorageStore('', storage), key: 'k1' })
    await call.send().catch(() => {})
    expect([...storage.texts]).toEqual([
      [expect.stringMatching(/^[\w-]{43}$/), expect.stringMatching(/^\d+ k1$/)],
    ])
  })

  it('keeps a key that is written in quotes', async () => {
    const call = restartAfter([lost(), answer(201)], { key: 'order 17' })
    await call.send().catch(() => {})
    await call.send()
    expect(keysOf(call)).toEqual(['"order 17"', '"order 17"'])
  })

  it('refuses a key that is too old, once, and sends nothing', async () => {
    const call = restartAfter([lost(), answer(201)])
    await call.send().catch(() => {})
    call.pass(23 * 3_600_000)
    const refused: unknown = await call.send().catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(KeyExpiredError)
    expect(call.tries).toHaveLength(1)
    await call.send()
    const [first, second] = keysOf(call)
    expect(second).not.toBe(first)
  })

  it('uses a key until then', async () => {
    const call = restartAfter([lost(), answer(201)], { maxKeyAge: '2h' })
    await call.send().catch(() => {})
    call.pass(2 * 3_600_000 - 1)
    await call.send()
    const [first, second] = keysOf(call)
    expect(second).toBe(first)
  })

  it('refuses a key from a time that is not near, also if the clock was wrong then', async () => {
    const call = restartAfter([lost()])
    await call.send().catch(() => {})
    call.pass(-23 * 3_600_000)
    await expect(call.send()).rejects.toBeInstanceOf(KeyExpiredError)
    expect(call.tries).toHaveLength(1)
  })

  it('refuses what it cannot read', async () => {
    const store = { keep: () => 'torn', forget: () => {} }
    const call = restartAfter([], { store })
    await expect(call.send()).rejects.toBeInstanceOf(KeyExpiredError)
    expect(call.tries).toEqual([])
  })

  it('must keep the key before anything is sent', async () => {
    const store = { keep: () => Promise.reject(new Error('full')), forget: () => {} }
    const call = restartAfter([], { store })
    await expect(call.send()).rejects.toThrow('full')
    expect(call.tries).toEqual([])
  })

  it('does not cost the result if it cannot forget', async () => {
    const store: KeyStore = {
      keep: (_, text) => text,
      forget: () => Promise.reject(new Error('gone')),
    }
    const call = restartAfter([answer(201)], { store })
    expect((await call.send()).status).toBe(201)
  })
})
