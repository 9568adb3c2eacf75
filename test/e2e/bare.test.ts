import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { startBareGateway } from './bare.ts'
import { type Gateway, type Origin, startOrigin } from './server.ts'

let origin: Origin
let gateway: Gateway

beforeAll(async () => {
  origin = await startOrigin()
  gateway = await startBareGateway({ origin })
})

afterAll(async () => {
  await gateway.stop()
  await origin.close()
})

describe('the bundle in bare workerd', () => {
  it('executes once, and replays after kill -9', async () => {
    const request = { path: '/hold/bare', key: 'bare', body: '{"amount":1}' }
    const first = await gateway.send(request)
    await gateway.restart()
    const replay = await gateway.send(request)
    expect(first).toMatchObject({ status: 201, headers: { 'idempotency-status': 'executed' } })
    expect(replay).toMatchObject({ status: 201, headers: { 'idempotency-status': 'replayed' } })
    expect(origin.requestsTo('/hold/bare')).toHaveLength(1)
  })
})
