import { readFileSync } from 'node:fs'
import path from 'node:path'

import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, expect, it } from 'vitest'

import { statusOf } from '../../demo/client.ts'
import { type Gateway, json, type Origin, startGateway, startOrigin } from './server.ts'

/**
 * The process of the gateway is killed, with SIGKILL, while an event stands at its receiver: sent,
 * and not yet marked. Origin and receiver are one server, which outlives it.
 */
const HAPAX_WEBHOOK_SECRET = `whsec_${btoa('a secret of this test, long enough')}`
const TAKEN = { kind: 'respond', status: 204 } as const

let origin: Origin
let gateway: Gateway

beforeAll(async () => {
  origin = await startOrigin()
  const config = path.join(import.meta.dirname, 'outbox-gateway/wrangler.toml')
  gateway = await startGateway({ origin, config, vars: { HAPAX_WEBHOOK_SECRET } })
})
afterAll(async () => {
  await gateway.stop()
  await origin.close()
})

interface Event {
  readonly id: string
  readonly type: string
  readonly data: object
}

/** The events that a path of the receiver has got, as its library verifies them. */
function eventsAt(where: string): Event[] {
  return origin
    .requestsTo(where)
    .map(
      ({ headers, body }) =>
        new Webhook(HAPAX_WEBHOOK_SECRET).verify(
          body.toString(),
          headers as Record<string, string>,
        ) as Event,
    )
}

/** Waits until a message of the queue has come to this. */
const messageIs = (status: string) =>
  gateway.written(new RegExp(`^(?=.*"method":"QUEUE").*"status":"${status}"`, 'm'))

it('sends an event again that was sent and not marked at kill -9, with the same id, and not a third time', async () => {
  origin.hold('/hooks/reports')
  const sent = gateway.send({ path: '/reports', key: 'e2e-reports', body: '{}' })
  await origin.received('/hooks/reports')
  expect(statusOf(await sent)).toBe(202)
  await gateway.kill()

  origin.on('/hooks/reports', TAKEN)
  await gateway.restart()
  // The ones behind it come only when it is marked.
  await origin.received('/hooks/reports', 4)
  const events = eventsAt('/hooks/reports')
  expect(events.map(({ type }) => type)).toEqual([
    'operation.succeeded',
    'operation.succeeded',
    'report.requested',
    'report.filed',
  ])
  expect(events[1]).toEqual(events[0])

  await gateway.restart()
  const again = await gateway.send({ path: '/reports', key: 'e2e-reports-2', body: '{}' })
  expect(statusOf(again)).toBe(202)
  const isOfSecond = ({ id }: Event) => id.split(':')[0] !== events[0]?.id.split(':')[0]
  for (let nth = 5; eventsAt('/hooks/reports').filter(isOfSecond).length < 3; nth += 1) {
    await origin.received('/hooks/reports', nth)
  }
  const timesOf = (id = '') => eventsAt('/hooks/reports').filter((event) => event.id === id).length
  expect([timesOf(events[0]?.id), timesOf(events[2]?.id)]).toEqual([2, 1])
})

it('has one effect where the inbox is behind it, though the event came twice', async () => {
  origin.on('/effects', (_, nth) => json(201, { nth }))
  origin.on('/hooks/inbox', ({ body }, nth) => {
    const taken = fetch(`${gateway.url}/inbox`, { method: 'POST', body }).then(() => TAKEN)
    // The first delivery gets no answer, but what it has brought is in the queue.
    return { kind: 'hold', until: nth === 1 ? new Promise(() => {}) : taken }
  })
  await gateway.send({ path: '/orders', key: 'e2e-orders', body: '{}' })
  await origin.received('/effects')
  await messageIs('executed')
  await gateway.kill()

  await gateway.restart()
  await origin.received('/hooks/inbox', 2)
  await messageIs('replayed')
  const [first, second] = eventsAt('/hooks/inbox')
  expect(second).toEqual(first)
  expect(origin.requestsTo('/effects').map(({ body }) => body.toString())).toEqual(['{"report":2}'])
})

it('follows no redirect: an event goes where the route says, or nowhere', async () => {
  const headers = { Location: `${origin.url}/hooks/elsewhere` }
  origin.on('/hooks/moved', { kind: 'respond', status: 307, headers })
  await gateway.send({ path: '/payments', key: 'e2e-moved', body: '{}' })
  await origin.received('/hooks/moved', 3)
  expect(new Set(eventsAt('/hooks/moved').map(({ id }) => id)).size).toBe(1)
  expect(origin.requestsTo('/hooks/elsewhere')).toEqual([])
})

it('delivers what docs/outbox.md shows', async () => {
  const page = readFileSync(path.join(import.meta.dirname, '../../docs/outbox.md'), 'utf8')
  const [, shown = ''] = /```json\n([^]*?)```/.exec(page) ?? []
  origin.on('/hooks/moved', TAKEN)
  const before = origin.requestsTo('/hooks/moved').length
  await gateway.send({ path: '/payments', key: 'e2e-docs', body: '{}' })
  await origin.received('/hooks/moved', before + 1)
  const delivered = eventsAt('/hooks/moved').at(-1)
  const example = JSON.parse(shown) as Event
  expect(Object.keys(example)).toEqual(Object.keys(delivered ?? {}))
  expect(Object.keys(example.data)).toEqual(Object.keys(delivered?.data ?? {}))
})
