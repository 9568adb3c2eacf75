import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { businessKey, createIdempotentFetch } from '../../../src/client.ts'
import { answer, lost, playServer, problem, START } from './played-server.ts'

const URL = 'https://api.test/payments'
const payment = { method: 'POST', body: '{"amount":500}' }
const UUID = /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/

/** Whether a request is sent again after an answer; if so with the same key, else the caller has the answer. */
async function isSentAgain(play: Response): Promise<boolean> {
  const { options, tries, fieldsOf } = playServer(play, answer(201))
  const response = await createIdempotentFetch(options)(URL, payment)
  expect(new Set(fieldsOf('Idempotency-Key')).size).toBe(1)
  expect(response.status).toBe(tries.length === 1 ? play.status : 201)
  return tries.length === 2
}

describe('the key of createIdempotentFetch', () => {
  it('is a UUID made before the first try, and stays after a lost connection', async () => {
    const { options, fieldsOf } = playServer(lost(), lost(), answer(201))
    const response = await createIdempotentFetch(options)(URL, payment)
    expect(response.status).toBe(201)
    const [first, ...others] = fieldsOf('Idempotency-Key')
    expect(first).toMatch(UUID)
    expect(others).toEqual([first, first])
  })

  it('is another one for each call', async () => {
    const { options, fieldsOf } = playServer(answer(201), answer(201))
    const send = createIdempotentFetch(options)
    await send(URL, payment)
    await send(URL, payment)
    const [first, second] = fieldsOf('Idempotency-Key')
    expect(second).not.toBe(first)
  })

  it.each([
    { key: 'order-17', field: 'order-17' },
    { key: 'order 17', field: '"order 17"' },
    { key: String.raw`a\"b`, field: String.raw`"a\\\"b"` },
    { key: 'a,b', field: '"a,b"' },
  ])('is the text $key of the caller, sent as $field', async ({ key, field }) => {
    const { options, fieldsOf } = playServer(lost(), answer(201))
    await createIdempotentFetch({ ...options, key })(URL, payment)
    expect(fieldsOf('Idempotency-Key')).toEqual([field, field])
  })

  it('is what a function finds in the request, which it may read, and is asked once', async () => {
    const { options, tries, fieldsOf } = playServer(lost(), answer(201))
    const key = vi.fn(async (request: Request) => `${request.method}-${await request.text()}`)
    await createIdempotentFetch({ ...options, key })(URL, { method: 'POST', body: 'o17' })
    expect(fieldsOf('Idempotency-Key')).toEqual(['POST-o17', 'POST-o17'])
    expect(tries.map(({ body }) => body)).toEqual(['o17', 'o17'])
    expect(key).toHaveBeenCalledTimes(1)
  })

  it('is the one that the request has, before all others', async () => {
    const { options, fieldsOf } = playServer(lost(), answer(201))
    const send = createIdempotentFetch({ ...options, key: 'other' })
    await send(URL, { ...payment, headers: { 'Idempotency-Key': 'mine' } })
    expect(fieldsOf('Idempotency-Key')).toEqual(['mine', 'mine'])
  })

  it.each([
    { key: '', says: 'empty' },
    { key: 'ü', says: 'printable ASCII' },
    { key: 'k'.repeat(256), says: 'at most 255' },
  ])('is refused before anything is sent: $says', async ({ key, says }) => {
    const { options, tries } = playServer()
    const sent = createIdempotentFetch({ ...options, key })(URL, payment)
    await expect(sent).rejects.toThrow(says)
    await expect(sent).rejects.toBeInstanceOf(TypeError)
    expect(tries).toEqual([])
  })

  it.each(['GET', 'HEAD', 'OPTIONS'])(
    'is not needed for %s, which is sent again as it is',
    async (method) => {
      const { options, tries } = playServer(lost(), answer(200))
      await createIdempotentFetch(options)(URL, { method })
      expect(tries.map(({ headers }) => [...headers])).toEqual([[], []])
    },
  )

  it('is not needed for QUERY, whose body is sent again', async () => {
    const { options, tries, fieldsOf } = playServer(lost(), answer(200))
    await createIdempotentFetch(options)(URL, { method: 'QUERY', body: 'all' })
    expect(tries.map(({ body }) => body)).toEqual(['all', 'all'])
    expect(fieldsOf('Idempotency-Key')).toEqual([null, null])
  })

  it('of a GET is sent with the number of the try, as with every other method', async () => {
    const { options, fieldsOf } = playServer(lost(), answer(200))
    await createIdempotentFetch(options)(URL, { headers: { 'Idempotency-Key': 'mine' } })
    expect(fieldsOf('Idempotency-Key')).toEqual(['mine', 'mine'])
    expect(fieldsOf('Idempotency-Attempt')).toEqual(['1', '2'])
  })
})

describe('businessKey', () => {
  it('is the same for the same operation, and no other', async () => {
    const key = await businessKey('acme', 'pay', 'o17')
    expect(key).toMatch(/^[\w-]{43}$/)
    expect(await businessKey('acme', 'pay', 'o17')).toBe(key)
    const others = await Promise.all([
      businessKey('acme', 'pay', 'o18'),
      businessKey('acme', 'refund', 'o17'),
      businessKey('globex', 'pay', 'o17'),
      businessKey('acme', 'pay', 'o1', '7'),
    ])
    expect(new Set([key, ...others]).size).toBe(5)
  })

  it('can be the key of a request', async () => {
    const { options, fieldsOf } = playServer(lost(), answer(201))
    const key = async (request: Request) => businessKey('acme', 'pay', await request.text())
    await createIdempotentFetch({ ...options, key })(URL, { method: 'POST', body: 'o17' })
    const expected = await businessKey('acme', 'pay', 'o17')
    expect(fieldsOf('Idempotency-Key')).toEqual([expected, expected])
  })
})

describe('what createIdempotentFetch sends', () => {
  it('is the same request each time, with the number of the try and the deadline', async () => {
    const { options, tries, fieldsOf } = playServer(lost(), answer(503), answer(201))
    const send = createIdempotentFetch({ ...options, retry: { deadline: '30s' } })
    await send(`${URL}?a=1`, {
      method: 'PATCH',
      body: new URLSearchParams({ amount: '5' }),
      headers: { Authorization: 'Bearer t' },
    })
    expect(tries).toHaveLength(3)
    for (const { method, url, body, headers } of tries) {
      expect([method, url, body]).toEqual(['PATCH', `${URL}?a=1`, 'amount=5'])
      expect(headers.get('Authorization')).toBe('Bearer t')
      expect(headers.get('Content-Type')).toBe('application/x-www-form-urlencoded;charset=UTF-8')
    }
    expect(fieldsOf('Idempotency-Attempt')).toEqual(['1', '2', '3'])
    const deadline = String(START + 30_000)
    expect(fieldsOf('X-Request-Deadline')).toEqual([deadline, deadline, deadline])
  })

  it('is the whole body of a stream, of a Request, and of none', async () => {
    const stream = new Blob(['in ', 'pieces']).stream()
    const requests = [
      new Request(URL, { method: 'POST', body: stream, duplex: 'half' } as RequestInit),
      new Request(URL, payment),
      new Request(URL, { method: 'DELETE' }),
    ]
    const bodies = await Promise.all(
      requests.map(async (request) => {
        const { options, tries } = playServer(lost(), answer(201))
        await createIdempotentFetch(options)(request)
        return tries.map(({ body }) => body)
      }),
    )
    expect(bodies).toEqual([
      ['in pieces', 'in pieces'],
      [payment.body, payment.body],
      ['', ''],
    ])
  })

  it('goes on where the layer before has got to: its attempts count, and its deadline bounds', async () => {
    const { options, fieldsOf } = playServer(answer(503), answer(503), answer(201))
    const send = createIdempotentFetch({ ...options, retry: { attempts: 3 } })
    const deadline = String(START + 20_000)
    const headers = { 'Idempotency-Attempt': '2', 'X-Request-Deadline': deadline }
    const response = await send(URL, { ...payment, headers })
    expect(response.status).toBe(503)
    expect(fieldsOf('Idempotency-Attempt')).toEqual(['2', '3'])
    expect(fieldsOf('X-Request-Deadline')).toEqual([deadline, deadline])
  })

  it('is not sent again after the deadline of the layer before', async () => {
    const { options, tries } = playServer(answer(503), answer(201))
    const headers = { 'X-Request-Deadline': new Date(START + 100).toISOString() }
    await createIdempotentFetch(options)(URL, { ...payment, headers })
    expect(tries).toHaveLength(1)
  })

  it('takes method and body from a request that stands in place of the options', async () => {
    const { options, tries } = playServer(answer(201))
    await createIdempotentFetch(options)('https://other.test/', new Request(URL, payment))
    expect(tries).toMatchObject([
      { method: 'POST', body: payment.body, url: 'https://other.test/' },
    ])
  })
})

describe('the retries of createIdempotentFetch', () => {
  it('wait twice as long each time, up to the cap, and end with the attempts', async () => {
    const { options, tries } = playServer(...Array.from({ length: 5 }, () => answer(503)))
    const retry = { attempts: 5, base: '100ms', cap: '250ms' } as const
    const response = await createIdempotentFetch({ ...options, retry })(URL, payment)
    expect(response.status).toBe(503)
    expect(await response.text()).toBe('status 503')
    expect(tries.map(({ at }) => at)).toEqual([0, 100, 300, 550, 800])
  })

  it('reject with the error of the last try, if it had no answer', async () => {
    const { options, tries } = playServer(answer(503), lost())
    const send = createIdempotentFetch({ ...options, retry: { attempts: 2 } })
    await expect(send(URL, payment)).rejects.toThrow('fetch failed')
    expect(tries).toHaveLength(2)
  })

  it('do not begin when the deadline is over', async () => {
    const { options, tries } = playServer(answer(503), answer(503), answer(201))
    const retry = { base: '100ms', deadline: '250ms' } as const
    const response = await createIdempotentFetch({ ...options, retry })(URL, payment)
    expect(response.status).toBe(503)
    expect(tries.map(({ at }) => at)).toEqual([0, 100])
  })

  it.each([
    { name: '2 seconds', headers: { 'Retry-After': '2' }, at: 2_000 },
    { name: 'a date', headers: { 'Retry-After': 'Sun, 29 Nov 2026 00:00:03 GMT' }, at: 3_000 },
    { name: 'milliseconds', headers: { 'Retry-After-Ms': '1500' }, at: 1_500 },
    { name: 'the next moment', headers: { 'Retry-After': '0' }, at: 200 },
    {
      name: 'the last moment before the deadline',
      headers: { 'Retry-After': '59.999' },
      at: 59_999,
    },
  ])('come when Retry-After says $name', async ({ headers, at }) => {
    const { options, tries } = playServer(answer(503, headers), answer(201))
    await createIdempotentFetch(options)(URL, payment)
    expect(tries.map((one) => one.at)).toEqual([0, at])
  })

  it.each([
    { name: 'the deadline', headers: { 'Retry-After': '60' } },
    { name: 'a date after it', headers: { 'Retry-After': 'Mon, 30 Nov 2026 00:00:00 GMT' } },
  ])(
    'do not come when Retry-After says $name: the caller has the response at once',
    async ({ headers }) => {
      const { options, tries } = playServer(answer(503, headers))
      const response = await createIdempotentFetch(options)(URL, payment)
      expect(response.status).toBe(503)
      expect(tries).toHaveLength(1)
    },
  )

  it.each([408, 425, 429, 500, 502, 503, 504])('come after %i', async (status) => {
    expect(await isSentAgain(answer(status))).toBe(true)
  })

  it.each([200, 202, 303, 400, 401, 404, 409, 410, 413, 422, 501])(
    'do not come after %i',
    async (status) => {
      expect(await isSentAgain(answer(status))).toBe(false)
    },
  )

  it.each([
    { status: 409, headers: { 'Retry-After': '1' }, again: true },
    { status: 413, headers: { 'Retry-After': '1' }, again: true },
    { status: 202, headers: { 'Retry-After': '1' }, again: false },
    { status: 500, headers: { 'X-Should-Retry': 'false' }, again: false },
    { status: 409, headers: { 'X-Should-Retry': 'true' }, again: true },
    { status: 200, headers: { 'X-Should-Retry': 'true' }, again: false },
    {
      status: 200,
      headers: { 'X-Should-Retry': 'true', 'Hapax-Error': 'in-progress' },
      again: true,
    },
  ])('obey the headers: $status with $headers, $again', async ({ status, headers, again }) => {
    expect(await isSentAgain(answer(status, headers))).toBe(again)
  })

  it.each([
    { status: 409, members: { retry: 'wait', retryable: true }, again: true },
    { status: 401, members: { retry: 'same-key', retryable: true }, again: true },
    { status: 502, members: { retry: 'never', retryable: false }, again: false },
    { status: 503, members: { retry: 'new-key', retryable: false }, again: false },
    { status: 502, members: { retryable: false }, again: false },
    { status: 409, members: { retryable: true }, again: true },
    { status: 503, members: { retry: 'later' }, again: true },
    { status: 503, members: [], again: true },
  ])(
    'obey a problem document: $status with $members, $again',
    async ({ status, members, again }) => {
      expect(await isSentAgain(problem(status, members))).toBe(again)
    },
  )

  it('obey a problem document before X-Should-Retry, and this one where the document says nothing', async () => {
    const headers = { 'X-Should-Retry': 'false' }
    expect(await isSentAgain(problem(409, { retry: 'wait' }, headers))).toBe(true)
    expect(await isSentAgain(problem(503, {}, headers))).toBe(false)
  })

  it('judge by the status where a problem document cannot be read', async () => {
    const headers = { 'Content-Type': 'application/problem+json' }
    expect(await isSentAgain(answer(503, headers))).toBe(true)
    expect(await isSentAgain(answer(409, headers))).toBe(false)
  })

  it('free the connection of an answer that is not handed out', async () => {
    const cancel = vi.fn<() => void>()
    const busy = new Response(new ReadableStream({ cancel }), { status: 503 })
    expect(await isSentAgain(busy)).toBe(true)
    expect(cancel).toHaveBeenCalledTimes(1)
  })

  it('do not need a body that is a web stream', async () => {
    const { headers } = answer(503)
    const foreign = { ok: false, status: 503, headers, body: { pipe() {} } }
    expect(await isSentAgain(foreign as unknown as Response)).toBe(true)
  })

  it('leave the body of a problem to the caller', async () => {
    const { options } = playServer(problem(502, { retry: 'never', title: 'held' }))
    const response = await createIdempotentFetch(options)(URL, payment)
    expect(await response.json()).toEqual({ retry: 'never', title: 'held' })
  })

  it.each([
    { retry: { attempts: 0 }, says: 'retry.attempts' },
    { retry: { attempts: 1.5 }, says: 'retry.attempts' },
    { retry: { base: '1 hour' as '1h' }, says: 'retry.base' },
    { retry: { cap: -1 }, says: 'retry.cap' },
    { retry: { deadline: '25h' }, says: 'retry.deadline' },
  ] as const)('have options that are checked first: $says', ({ retry, says }) => {
    expect(() => createIdempotentFetch({ retry })).toThrow(says)
  })
})

describe('the budget of createIdempotentFetch', () => {
  const many = () => Array.from({ length: 40 }, () => answer(503))
  const retry = { attempts: 4, base: 0, budget: { ratio: 0, floor: 3 } } as const

  it('is shared by all calls to an origin, and no other', async () => {
    const { options, tries } = playServer(...many())
    const send = createIdempotentFetch({ ...options, retry })
    await send(URL, payment)
    expect(tries).toHaveLength(4)
    expect((await send(`${URL}/other`, payment)).status).toBe(503)
    expect(tries).toHaveLength(5)
    await send('https://other.test/', payment)
    expect(tries).toHaveLength(9)
  })

  it('is there again within a minute', async () => {
    const { options, tries, pass } = playServer(...many())
    const send = createIdempotentFetch({ ...options, retry })
    await send(URL, payment)
    pass(60_000)
    await send(URL, payment)
    expect(tries).toHaveLength(8)
  })

  it('grows with each call', async () => {
    const { options, tries } = playServer(...many())
    const halved = { ...retry, attempts: 2, budget: { ratio: 0.5, floor: 1 } }
    const send = createIdempotentFetch({ ...options, retry: halved })
    const counts: number[] = []
    for (const _ of [1, 2, 3]) {
      const before = tries.length
      await send(URL, payment)
      counts.push(tries.length - before)
    }
    expect(counts).toEqual([2, 1, 2])
  })

  it('can be left out', async () => {
    const { options, tries } = playServer(...many())
    const send = createIdempotentFetch({ ...options, retry: { ...retry, budget: false } })
    for (const _ of [1, 2, 3]) await send(URL, payment)
    expect(tries).toHaveLength(12)
  })
})

describe('the timeout of createIdempotentFetch', () => {
  beforeEach(() => vi.useFakeTimers())
  afterEach(() => vi.useRealTimers())

  const hang = () => new Promise<Response>(() => {})

  it.each([
    { name: '40 seconds', options: {}, timeoutMs: 40_000 },
    { name: 'less than the deadline', options: { retry: { deadline: '9s' } }, timeoutMs: 6_000 },
    { name: 'a second at least', options: { retry: { deadline: 0 } }, timeoutMs: 1_000 },
    { name: 'what is asked for', options: { timeout: '2s' }, timeoutMs: 2_000 },
    { name: 'never nothing', options: { timeout: 0 }, timeoutMs: 40_000 },
  ] as const)('is $name', async ({ options, timeoutMs }) => {
    const server = playServer(hang)
    const retry = { ...('retry' in options ? options.retry : {}), attempts: 1 }
    const send = createIdempotentFetch({ ...server.options, ...options, retry })
    const ended = vi.fn<(error: unknown) => void>()
    const sent = send(URL, payment).catch(ended)
    await vi.advanceTimersByTimeAsync(timeoutMs - 1)
    expect(ended).not.toHaveBeenCalled()
    await vi.advanceTimersByTimeAsync(1)
    await sent
    expect(ended).toHaveBeenCalledWith(expect.objectContaining({ name: 'TimeoutError' }))
  })

  it('ends one try, which is sent again with the same key', async () => {
    const { options, fieldsOf } = playServer(hang, answer(201))
    let ended = false
    const send = createIdempotentFetch({
      ...options,
      timeout: '5s',
      fetch(request) {
        request.signal.addEventListener('abort', () => (ended = true))
        return options.fetch(request)
      },
    })
    const sent = send(URL, payment)
    await vi.advanceTimersByTimeAsync(5_000)
    expect((await sent).status).toBe(201)
    expect(ended).toBe(true)
    const [first, second] = fieldsOf('Idempotency-Key')
    expect(second).toBe(first)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('counts for a problem document as well, whose end does not come', async () => {
    const endless = new Response(new ReadableStream(), {
      status: 502,
      headers: { 'Content-Type': 'application/problem+json' },
    })
    const { options, tries } = playServer(endless, answer(201))
    const sent = createIdempotentFetch({ ...options, timeout: '5s' })(URL, payment)
    await vi.advanceTimersByTimeAsync(5_000)
    expect((await sent).status).toBe(201)
    expect(tries).toHaveLength(2)
  })

  it('does not count for the body of a result, which can be a stream', async () => {
    let controller: ReadableStreamDefaultController<string> | undefined
    const body = new ReadableStream<string>({ start: (given) => void (controller = given) })
    const { options, tries } = playServer(
      () => new Response(body.pipeThrough(new TextEncoderStream())),
    )
    let signal: AbortSignal | undefined
    const send = createIdempotentFetch({
      ...options,
      fetch(request) {
        ;({ signal } = request)
        return options.fetch(request)
      },
    })
    const response = await send(URL, payment)
    await vi.advanceTimersByTimeAsync(3_600_000)
    expect(signal?.aborted).toBe(false)
    controller?.enqueue('late')
    controller?.close()
    expect(await response.text()).toBe('late')
    expect(tries).toHaveLength(1)
  })

  it.each([
    { options: { timeout: -1 }, says: 'timeout' },
    { options: { timeout: '25h' }, says: 'timeout' },
    { options: { maxKeyAge: 'a day' as '1d' }, says: 'maxKeyAge' },
  ] as const)('has options that are checked first: $options', ({ options, says }) => {
    expect(() => createIdempotentFetch(options)).toThrow(says)
  })
})

describe('the signal of createIdempotentFetch', () => {
  const reason = new Error('The user left.')

  it('ends everything before the first try', async () => {
    const { options, tries } = playServer(answer(201))
    const signal = AbortSignal.abort(reason)
    const key = vi.fn(() => 'k')
    const send = createIdempotentFetch({ ...options, key })
    await expect(send(URL, { ...payment, signal })).rejects.toBe(reason)
    await expect(send(new Request(URL, { ...payment, signal }))).rejects.toBe(reason)
    expect(tries).toEqual([])
    expect(key).not.toHaveBeenCalled()
  })

  it.each(['key', 'fetch', 'sleep'] as const)(
    'ends the call at once while it waits for %s, and no other try follows',
    async (step) => {
      const { options, tries } = playServer(lost(), answer(201))
      const controller = new AbortController()
      const hang = async () => {
        controller.abort(reason)
        return new Promise<never>(() => {})
      }
      const send = createIdempotentFetch({ ...options, [step]: hang })
      const { signal } = controller
      await expect(send(URL, { ...payment, signal })).rejects.toBe(reason)
      expect(tries).toHaveLength(step === 'sleep' ? 1 : 0)
    },
  )

  it('ends the call after a pause that does not obey it', async () => {
    const { options, tries } = playServer(answer(503), answer(201))
    const controller = new AbortController()
    const sleep = async () => controller.abort(reason)
    const { signal } = controller
    const sent = createIdempotentFetch({ ...options, sleep })(URL, { ...payment, signal })
    await expect(sent).rejects.toBe(reason)
    expect(tries).toHaveLength(1)
  })

  it('counts no error of a try as a lost connection', async () => {
    const controller = new AbortController()
    const { options } = playServer()
    const fetch = vi.fn(async () => {
      controller.abort(reason)
      throw reason
    })
    const { signal } = controller
    const sent = createIdempotentFetch({ ...options, fetch })(URL, { ...payment, signal })
    await expect(sent).rejects.toBe(reason)
    expect(fetch).toHaveBeenCalledTimes(1)
  })
})
