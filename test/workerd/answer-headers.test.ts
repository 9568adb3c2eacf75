import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  createGateway,
  credential,
  idempotent,
  type PolicyOptions,
  protect,
} from '../../src/hapax.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin, playSlowOrigin } from './origin.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

/** A client of a route that goes to the origin. */
function clientWith(policy: PolicyOptions = {}) {
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/answers', protect(policy))
  return clientOf(app, '/answers', { isWaiting: false })
}

const ASKING = { 'Retry-After': '3', 'retry-after-ms': '3000', 'X-Should-Retry': 'true' }

const asksForRetry = ({ headers }: Response) =>
  Object.keys(ASKING).filter((name) => headers.has(name))

describe('what an answer asks for', () => {
  it('goes to the client that it was made for, and not with the stored answer', async () => {
    playOrigin(() => Response.json({}, { status: 404, headers: ASKING }))
    const send = clientWith()
    const [first, again] = [await send('asks'), await send('asks')]
    expect([word(first), word(again)]).toEqual(['executed', 'replayed'])
    expect([asksForRetry(first), asksForRetry(again)]).toEqual([Object.keys(ASKING), []])
  })

  it.each([
    { status: 429, expected: Object.keys(ASKING) },
    { status: 404, expected: [] },
  ])('goes to who has waited along only where $status is not the end', async (given) => {
    const { status, expected } = given
    const origin = playSlowOrigin(() => Response.json({}, { status, headers: ASKING }))
    const send = clientWith()
    const first = send(`joins-${status}`)
    await origin.asked()
    const second = send(`joins-${status}`)
    origin.release()
    await first
    expect([word(await second), asksForRetry(await second)]).toEqual(['joined', expected])
  })
})

describe('what only the gateway says', () => {
  const SAID = {
    'Idempotency-Key': 'of-the-origin',
    Idempotency_Key: 'of-the-origin',
    'Idempotency-Attempt': '7',
    'Idempotency-Expires': '7',
  }
  const said = ({ headers }: Response) =>
    Object.values(SAID).filter((value) => [...headers.values()].includes(value))

  it('is not believed of the origin, with a key or without', async () => {
    playOrigin(() => Response.json({}, { status: 201, headers: SAID }))
    const send = clientWith({ required: false })
    const answers = [await send('echo'), await send('echo'), await send('', WITHOUT_KEY)]
    expect(answers.map(word)).toEqual(['executed', 'replayed', 'unprotected'])
    expect(answers.flatMap(said)).toEqual([])
  })

  it('is not believed of a handler, with a key or without', async () => {
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/handled', idempotent({ required: false }), (c) => c.json({}, 201, SAID))
    const send = clientOf(app, '/handled')
    const answers = [await send('told'), await send('told'), await send('', WITHOUT_KEY)]
    expect(answers.map(word)).toEqual(['executed', 'replayed', 'unprotected'])
    expect(answers.flatMap(said)).toEqual([])
  })
})

/** A request without its key. */
const WITHOUT_KEY = { isKeyless: true } as const
