import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { headerOf, statusOf } from '../../demo/client.ts'
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

describe('a credential on the wire', () => {
  const digest = (n: number) =>
    `Digest username="ann", realm="api", nonce="n", uri="/hold/digest", nc=0000000${n}, cnonce="c${n}", response="r${n}"`
  const sigV4 = (n: number) =>
    `AWS4-HMAC-SHA256 Credential=AKID/2026112${n}/eu-central-1/execute-api/aws4_request, SignedHeaders=host;x-amz-date, Signature=ab${n}`
  const signed = (n: number) =>
    `Signature keyId="key-1",created=170000000${n},headers="(created)",signature="c2ln${n}="`

  it.each([
    { name: 'digest', first: digest(1), retry: digest(2) },
    { name: 'sigv4', first: sigV4(1), retry: sigV4(2) },
    { name: 'signature', first: signed(1), retry: signed(2) },
    { name: 'bearer', first: 'Bearer x', retry: 'bearer  x' },
    { name: 'bearer-tab', first: 'Bearer x', retry: 'BEARER\tx' },
  ])('is one caller with each request: $name', async ({ name, first, retry }) => {
    const path = `/hold/${name}`
    const send = (Authorization: string) =>
      gateway.send({ path, key: `credential-${name}`, body: '{}', headers: { Authorization } })
    const answers = [await send(first), await send(retry)]
    expect(answers.map((answer) => headerOf(answer, 'Idempotency-Status'))).toEqual([
      'executed',
      'replayed',
    ])
    expect(origin.requestsTo(path)).toHaveLength(1)
  })

  it('is refused where it is made anew for each request', async () => {
    const headers = { Authorization: 'Negotiate YII=' }
    const answer = await gateway.send({ path: '/hold/anew', key: 'anew', body: '{}', headers })
    expect([statusOf(answer), headerOf(answer, 'Hapax-Error')]).toEqual([401, 'tenant-missing'])
    expect(origin.requestsTo('/hold/anew')).toHaveLength(0)
  })
})

// The binding of this gateway lets two new operations a minute through.
it('counts who invents a token for each request by where they come from, and no repeats', async () => {
  const send = (n: number, address: string) =>
    gateway.send({
      path: '/limited',
      key: `limited-${n}`,
      body: '{}',
      headers: { Authorization: `Bearer invented-${n}`, 'CF-Connecting-IP': address },
    })
  // In one place: the addresses of one network.
  for (const n of [1, 2]) expect(statusOf(await send(n, `2001:db8::${n}`))).toBe(201)
  for (const n of [3, 4]) expect(statusOf(await send(n, `2001:db8::${n}`))).toBe(429)
  expect(headerOf(await send(1, '2001:db8::5'), 'Idempotency-Status')).toBe('replayed')
  expect(statusOf(await send(5, '2001:db8:0:1::5'))).toBe(201)
  expect(origin.requestsTo('/limited')).toHaveLength(3)
})

it('takes all for one place that come from nowhere', async () => {
  const send = (n: number) =>
    gateway.send({
      path: '/limited',
      key: `nowhere-${n}`,
      body: '{}',
      headers: { Authorization: `Bearer nowhere-${n}` },
    })
  const statuses = [await send(1), await send(2), await send(3)].map(statusOf)
  expect(statuses).toEqual([201, 201, 429])
})
