import path from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type Gateway, json, type Origin, startGateway, startOrigin } from './server.ts'

/**
 * The Worker is killed once, with SIGKILL, while functions under every policy run or have ended, and
 * started again on the same state.
 */
const POLICIES = ['hold', 'resend', 'probe', 'durable', 'asked'] as const
type Policy = (typeof POLICIES)[number]

/** What a repeat gets if its first call was lost while it ran, and the effects in all. */
const LOST: Record<Policy, { readonly answer: string; readonly effects: number }> = {
  hold: { answer: 'outcome-unknown', effects: 1 },
  // The origin knows repeats by their key.
  resend: { answer: '{"nth":2}', effects: 2 },
  durable: { answer: '{"nth":2}', effects: 2 },
  // The origin is asked, and says that it was executed.
  probe: { answer: '{"nth":1}', effects: 1 },
  asked: { answer: '{"nth":1}', effects: 1 },
}

let origin: Origin
let gateway: Gateway

const call = async (where: string): Promise<string> => {
  const answer = await gateway.send({ path: where, body: '{}' })
  return answer.kind === 'answered' ? answer.body : answer.kind
}

beforeAll(async () => {
  origin = await startOrigin()
  const config = path.join(import.meta.dirname, 'once-gateway/wrangler.toml')
  gateway = await startGateway({ origin, config })
  origin.on('/find', ({ path: asked }) => {
    const { searchParams } = new URL(asked, origin.url)
    const found = origin.requestsTo(String(searchParams.get('path')))
    const index = found.findIndex(
      ({ headers }) => headers['idempotency-key'] === searchParams.get('key'),
    )
    return json(200, { nth: index === -1 ? null : index + 1 })
  })
  const lost = ['lost', 'alone'].flatMap((id) => POLICIES.map((policy) => `/${policy}/${id}`))
  const release = lost.map((where) => origin.hold(where))
  await Promise.all([
    ...POLICIES.map((policy) => call(`/worker/${policy}/ended`)),
    ...lost.map(async (where) => {
      void call(`/worker${where}`)
      await origin.received(where)
    }),
  ])
  await gateway.kill()
  for (const where of lost) origin.on(where, (_, nth) => json(201, { nth }))
  for (const letGo of release) letGo(json(201, { nth: 1 }))
  await gateway.restart()
})

afterAll(async () => {
  await gateway.stop()
  await origin.close()
})

describe('after SIGKILL and a restart on the same state', () => {
  it.concurrent.each(POLICIES)('a call that had ended under %s has its result', async (policy) => {
    expect(await call(`/worker/${policy}/ended`)).toBe('{"nth":1}')
    expect(origin.requestsTo(`/${policy}/ended`)).toHaveLength(1)
  })

  it.concurrent.each(POLICIES)(
    'a call that was lost under %s is repeated safely',
    async (policy) => {
      const { answer, effects } = LOST[policy]
      expect(await call(`/worker/${policy}/lost`)).toBe(answer)
      expect(await call(`/worker/${policy}/lost`)).toBe(answer)
      const calls = origin.requestsTo(`/${policy}/lost`)
      expect(calls).toHaveLength(effects)
      expect(new Set(calls.map(({ headers }) => headers['idempotency-key'])).size).toBe(1)
    },
  )

  it('a durable call goes on in its object, without a caller', async () => {
    const second = await origin.received('/durable/alone', 2)
    const [first] = origin.requestsTo('/durable/alone')
    expect(second.headers).toMatchObject({
      'idempotency-key': first?.headers['idempotency-key'],
      'idempotency-attempt': '2',
    })
    expect(await call('/worker/durable/alone')).toBe('{"nth":2}')
    expect(origin.requestsTo('/durable/alone')).toHaveLength(2)
  })
})

describe('a guarded function', () => {
  it.concurrent('runs once for a Worker, a Durable Object and a step of a Workflow', async () => {
    const answers = await Promise.all(
      ['worker', 'object', 'workflow'].map((place) => call(`/${place}/hold/everywhere`)),
    )
    expect(answers).toEqual(['{"nth":1}', '{"nth":1}', '{"nth":1}'])
    expect(origin.requestsTo('/hold/everywhere')).toHaveLength(1)
  })
})
