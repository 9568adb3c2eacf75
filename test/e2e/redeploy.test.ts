import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import type { Answer } from '../../demo/client.ts'
import { type BareGateway, startBareGateway } from './bare.ts'
import { json, type Origin, startOrigin } from './server.ts'

let origin: Origin
let gateway: BareGateway

beforeAll(async () => {
  origin = await startOrigin()
  gateway = await startBareGateway({ origin })
})

afterAll(async () => {
  await gateway.stop()
  await origin.close()
})

const send = (path: string, headers: Readonly<Record<string, string>> = {}) =>
  gateway.send({ path, key: path, body: '{"amount":1}', headers })

const told = (answer: Answer) =>
  answer.kind === 'answered' ? [answer.status, answer.headers['hapax-error']] : ['lost']

const HELD = [409, 'outcome-unknown']

/** Whether the alarm still means to do something about the operation of a path. */
async function isDue(path: string): Promise<boolean> {
  const id = origin.requestsTo(path)[0]?.headers['idempotency-key']
  const answer = await gateway.send({ path: `/_hapax/operations/${String(id)}`, method: 'GET' })
  if (answer.kind === 'lost' || answer.status !== 200) throw new Error('It is not known.')
  return answer.body.includes('nextAttemptAt')
}

const GRACE = '/redeployed-grace/alarm'
const PATHS = ['/redeployed/alarm', '/redeployed-short/asked', '/redeployed-short/late'] as const

describe('what was left unknown by a looser deployment, under a stricter one', () => {
  it('is neither sent again nor forgotten, by alarm or request', async () => {
    for (const path of PATHS) {
      origin.on(path, json(500, {}))
      expect(told(await send(path))).toEqual([500, undefined])
    }
    expect(await isDue('/redeployed/alarm')).toBe(true)
    origin.on('/status', json(404, {}))
    origin.on(GRACE, json(500, {}))
    await send(GRACE)
    await gateway.redeploy({ STRICT: '1' })
    expect(told(await send('/redeployed-short/asked'))).toEqual(HELD)
    // The alarm comes after five seconds, when the retention of the others is over.
    await expect.poll(() => isDue('/redeployed/alarm')).toBe(false)
    for (const path of PATHS) {
      expect(told(await send(path))).toEqual(HELD)
      expect(origin.requestsTo(path)).toHaveLength(1)
    }
  })

  it('is not sent again by the alarm within a grace that has become longer', async () => {
    await origin.received('/status')
    // It comes behind whatever the alarm makes of that answer.
    expect(told(await send(GRACE))).toEqual(HELD)
    expect(origin.requestsTo(GRACE)).toHaveLength(1)
  })
})
