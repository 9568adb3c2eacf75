import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'

import { type Answer, headerOf, statusOf } from '../../demo/client.ts'
import { type Gateway, json, type Origin, startGateway, startOrigin } from './server.ts'

/**
 * The example of docs/pipelines.md, in a real process with real local queues, as it is in
 * `examples/pipeline`. Around it stands a Worker of this test, which asks the scripted origin at
 * every moment at which a part could be lost, and waits for its answer: there the process is killed.
 *
 * The broker of local queues lives in the memory of that process. What it has accepted and not seen
 * acknowledged is gone after a kill; the real service delivers it again. So the outbox must do it,
 * which sends what it has not marked, or the test sends the very same event again, and says so.
 */
const example = path.resolve(import.meta.dirname, '../../examples/pipeline')
const MONTH = '2026-10'
const FIGURES = [{ item: 'coffee', cents: 250 }]
const REPORT = 'item,cents\ncoffee,250\n'
const HAPAX_ADMIN_TOKEN = 'the token of an operator'.replaceAll(' ', '-')
/** A dead Worker's lease must end first, and the queue's delays are real. */
const PATIENCE = 240_000

/** Moments, in the order in which a message passes them. The origin says no by any status but 2xx. */
const AROUND = `
import pipeline, { IdempotencyObject as Guard } from ${JSON.stringify(`${example}/index.ts`)}
export { DirectoryObject } from ${JSON.stringify(`${example}/index.ts`)}

async function at(env, moment, { type, data }, told) {
  const where = [moment, type, data.account].map(encodeURIComponent).join('/')
  const body = JSON.stringify(told)
  const response = await fetch(env.ORIGIN_URL + '/at/' + where, { method: 'POST', body })
  await response.body?.cancel()
  return response.ok
}

export class IdempotencyObject extends Guard {
  constructor(ctx, env) {
    const send = async (event, options) => {
      await at(env, 'unsent', event, event)
      await env.REPORTS.send(event, options)
      if (!(await at(env, 'unmarked', event, event))) ctx.abort('as the test says')
    }
    super(ctx, { ...env, REPORTS: { send } })
  }
}

export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url)
    if (pathname === '/test/files') return Response.json((await env.FILES.list()).objects)
    if (pathname !== '/test/queue') return pipeline.fetch(request, env, ctx)
    await env.REPORTS.sendBatch((await request.json()).map((body) => ({ body })))
    return new Response(null, { status: 204 })
  },
  async queue({ queue, messages }, env, ctx) {
    const acknowledged = []
    const watched = messages.map((message) => ({
      id: message.id,
      timestamp: message.timestamp,
      attempts: message.attempts,
      body: message.body,
      ack: () => acknowledged.push(message),
      retry: (options) => message.retry(options),
    }))
    const put = async (name, ...more) => {
      await env.FILES.put(name, ...more)
      await at(env, 'unsettled', { type: 'report', data: { account: name.split('/')[0] } }, name)
    }
    const FILES = { put, get: (name) => env.FILES.get(name) }
    await pipeline.queue({ queue, messages: watched }, { ...env, FILES }, ctx)
    const mayEnd = await Promise.all(acknowledged.map(({ body }) => at(env, 'unacknowledged', body, body)))
    if (mayEnd.includes(false)) throw new Error('the acknowledgements are lost')
    for (const message of acknowledged) message.ack()
  },
}`

let origin: Origin
let gateway: Gateway
let directory: string

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'hapax-pipeline-'))
  writeFileSync(path.join(directory, 'around.js'), AROUND)
  const config = path.join(directory, 'wrangler.toml')
  const own = readFileSync(path.join(example, 'wrangler.toml'), 'utf8')
  writeFileSync(config, own.replace('main = "index.ts"', 'main = "around.js"'))
  origin = await startOrigin()
  gateway = await startGateway({ origin, config, vars: { HAPAX_ADMIN_TOKEN } })
})
afterAll(async () => {
  await gateway.stop()
  await origin.close()
  rmSync(directory, { recursive: true, force: true })
})

const requested = (account: string, moment: string) => `/at/${moment}/report.requested/${account}`
const ready = (account: string, moment: string) => `/at/${moment}/report.ready/${account}`
const stored = (account: string) => `/at/unsettled/report/${account}`
const figures = (account: string) => `/figures/${account}/${MONTH}`
const PASS = json(200, {})
const LOST = json(500, {})

const correlationOf = (account: string) => `report-of-${account}`
const headersOf = (account: string) => ({
  'X-Account-Id': account,
  'X-Correlation-Id': correlationOf(account),
})

/** Sends the request of an account, always with the same key. */
function order(account: string): Promise<Answer> {
  const body = JSON.stringify({ month: MONTH })
  return gateway.send({ path: '/reports', key: account, body, headers: headersOf(account) })
}

/** As a client does: for as long as it is told that the first one may still run. */
async function orderUntilAccepted(account: string): Promise<Answer> {
  return vi.waitUntil(
    async () => {
      const answer = await order(account)
      return statusOf(answer) === 202 && answer
    },
    { timeout: PATIENCE, interval: 500 },
  )
}

interface Event {
  readonly id: string
  readonly type: string
  readonly correlationid: string
  readonly data: { readonly account: string }
}

/** The events that have come to a moment. */
const eventsAt = (moment: string): Event[] =>
  origin.requestsTo(moment).map(({ body }) => JSON.parse(body.toString()) as Event)

/** Puts messages into the queue, in one batch. */
async function sendAgain(...messages: readonly unknown[]): Promise<void> {
  const sent = { path: '/test/queue', body: JSON.stringify(messages) }
  expect(statusOf(await gateway.send(sent))).toBe(204)
}

const requestsOf = (account: string, method: string) =>
  origin.requestsTo(figures(account)).filter((request) => request.method === method)
const rendersOf = (account: string) => requestsOf(account, 'GET').length
const isMailTo = (account: string, { body }: { readonly body: Buffer }) =>
  (JSON.parse(body.toString()) as Event['data']).account === account
const mailsTo = (account: string) =>
  origin.requestsTo('/mails').filter((request) => isMailTo(account, request))

/** The report, when it is there. */
const fetchReport = (account: string) =>
  gateway.send({ method: 'GET', path: `/reports/${MONTH}`, headers: { 'X-Account-Id': account } })

async function filesOf(account: string): Promise<string[]> {
  const answer = await gateway.send({ method: 'GET', path: '/test/files' })
  const files = JSON.parse(answer.kind === 'answered' ? answer.body : '[]') as { key: string }[]
  return files.map(({ key }) => key).filter((key) => key.startsWith(`${account}/`))
}

/** One file, one mail, and every step under the correlation id of the request. */
async function expectOneReport(account: string): Promise<void> {
  const report = await fetchReport(account)
  expect(report).toMatchObject({ status: 200, body: REPORT })
  expect(await filesOf(account)).toEqual([`${account}/${MONTH}.csv`])
  expect(mailsTo(account)).toHaveLength(1)
  const asked = [...origin.requestsTo(figures(account)), ...mailsTo(account)]
  const events = ['unsent', 'unmarked', 'unacknowledged'].flatMap((moment) => [
    ...eventsAt(requested(account, moment)),
    ...eventsAt(ready(account, moment)),
  ])
  const ids = [
    headerOf(report, 'X-Correlation-Id'),
    ...asked.map(({ headers }) => headers['x-correlation-id']),
    ...events.map(({ correlationid }) => correlationid),
  ]
  expect(new Set(ids)).toEqual(new Set([correlationOf(account)]))
}

/** One story: each test begins where the one before has left it, with a kill. */
describe('one report, while every part is killed once', () => {
  const account = 'acme'

  it(
    'killed after the claim, before the end of the handler: the retry of the client executes',
    async () => {
      origin.hold(figures(account))
      const first = order(account)
      await origin.received(figures(account))
      await gateway.kill()
      expect(statusOf(await first)).toBe('lost')

      origin.on(figures(account), json(200, FIGURES))
      origin.hold(requested(account, 'unsent'))
      await gateway.restart()
      const accepted = await orderUntilAccepted(account)
      expect(headerOf(accepted, 'Idempotency-Status')).toBe('executed')
      expect(headerOf(accepted, 'Location')).toBe(`/reports/${MONTH}`)
      await origin.received(requested(account, 'unsent'))
      expect(eventsAt(requested(account, 'unsent'))).toHaveLength(1)
      expect(statusOf(await fetchReport(account))).toBe(404)
    },
    PATIENCE,
  )

  it(
    'killed after the settle, before the event is sent: the outbox sends it',
    async () => {
      await gateway.kill()
      origin.on(requested(account, 'unsent'), PASS)
      origin.hold(requested(account, 'unmarked'))
      origin.hold(stored(account))
      await gateway.restart()
      await origin.received(requested(account, 'unmarked'))
      const [first, second] = eventsAt(requested(account, 'unsent'))
      expect(second).toEqual(first)
      expect(headerOf(await order(account), 'Idempotency-Status')).toBe('replayed')
    },
    PATIENCE,
  )

  it(
    'killed between send and mark, in the consumer after the file and before its settle: sent again, rendered again, one file',
    async () => {
      await origin.received(stored(account))
      await gateway.kill()
      origin.on(requested(account, 'unmarked'), PASS)
      origin.on(stored(account), PASS)
      origin.hold(requested(account, 'unacknowledged'))
      origin.hold(ready(account, 'unsent'))
      await gateway.restart()
      await origin.received(requested(account, 'unacknowledged'))
      await origin.received(ready(account, 'unsent'))
      const ids = eventsAt(requested(account, 'unmarked')).map(({ id }) => id)
      expect(ids).toHaveLength(2)
      expect(new Set(ids).size).toBe(1)
      expect(rendersOf(account)).toBe(2)
      expect(await filesOf(account)).toHaveLength(1)
    },
    PATIENCE,
  )

  it(
    'killed after the settle, before the acknowledgement: what is delivered again has no effect',
    async () => {
      await gateway.kill()
      origin.on(requested(account, 'unacknowledged'), PASS)
      origin.on(ready(account, 'unsent'), PASS)
      origin.hold(ready(account, 'unmarked'))
      await gateway.restart()
      // In the stead of the queue: the same message.
      await sendAgain(eventsAt(requested(account, 'unmarked'))[0])
      await origin.received(requested(account, 'unacknowledged'), 2)
      await origin.received(ready(account, 'unmarked'))
      await origin.received(ready(account, 'unacknowledged'))
      expect(rendersOf(account)).toBe(2)
      expect(mailsTo(account)).toHaveLength(1)
    },
    PATIENCE,
  )

  it(
    'killed when the mail is out and its event is not marked: no second mail',
    async () => {
      await gateway.kill()
      origin.on(ready(account, 'unmarked'), PASS)
      await gateway.restart()
      await origin.received(ready(account, 'unacknowledged'), 2)
      const [first, second] = eventsAt(ready(account, 'unmarked'))
      expect(second).toEqual(first)
      expect(mailsTo(account)).toHaveLength(1)
    },
    PATIENCE,
  )

  it('is one report at the end, with one correlation id', async () => {
    await expectOneReport(account)
    expect(headerOf(await order(account), 'Idempotency-Status')).toBe('replayed')
    expect(requestsOf(account, 'HEAD')).toHaveLength(2)
  })
})

// Accounts of their own: they wait beside each other, for the queue and for retries.
describe.concurrent('without a kill', () => {
  const cases: readonly {
    readonly title: string
    readonly account: string
    readonly script: (account: string) => void
    readonly renders: number
    readonly mails: number
    readonly deliveries: number
  }[] = [
    {
      title: 'the figures cannot be read: the queue delivers again until they can',
      account: 'away',
      script: (account) =>
        origin.on(figures(account), ({ method }, nth) =>
          method === 'GET' && nth < 4 ? json(503, {}) : json(200, FIGURES),
        ),
      renders: 3,
      mails: 1,
      deliveries: 1,
    },
    {
      title: 'the handler throws: it runs again',
      account: 'throws',
      script: (account) =>
        origin.on(figures(account), ({ method }, nth) =>
          method === 'GET' && nth < 3
            ? { kind: 'respond', status: 200, body: '{"half' }
            : json(200, FIGURES),
        ),
      renders: 2,
      mails: 1,
      deliveries: 1,
    },
    {
      title: 'it was done, the acknowledgement was lost, the queue delivers again',
      account: 'unheard',
      script: (account) =>
        origin.on(requested(account, 'unacknowledged'), (_, nth) => (nth < 3 ? LOST : PASS)),
      renders: 1,
      mails: 1,
      deliveries: 3,
    },
    {
      title: 'the object is aborted between send and mark: the outbox sends again',
      account: 'aborted',
      script: (account) =>
        origin.on(requested(account, 'unmarked'), (_, nth) => (nth === 1 ? LOST : PASS)),
      renders: 1,
      mails: 1,
      deliveries: 2,
    },
    {
      title: 'the mail is refused for now: it is sent again, and taken',
      account: 'mailbox-full',
      script: (account) =>
        origin.on('/mails', (request) => {
          const isFirst = isMailTo(account, request) && mailsTo(account).length === 1
          return isFirst ? json(503, {}) : json(201, {})
        }),
      renders: 1,
      mails: 2,
      deliveries: 1,
    },
  ]

  it.each(cases)(
    '$title',
    async ({ account, script, renders, mails, deliveries }) => {
      origin.on(figures(account), json(200, FIGURES))
      script(account)
      expect(statusOf(await order(account))).toBe(202)
      await origin.received(requested(account, 'unacknowledged'), deliveries)
      await origin.received(ready(account, 'unacknowledged'))
      expect(rendersOf(account)).toBe(renders)
      expect(mailsTo(account)).toHaveLength(mails)
      expect(await filesOf(account)).toHaveLength(1)
    },
    PATIENCE,
  )

  it(
    'the same message five times, and billing asks for the same report: it is made once',
    async () => {
      const account = 'twice'
      origin.on(figures(account), json(200, FIGURES))
      await order(account)
      await origin.received(requested(account, 'unacknowledged'))
      const [event] = eventsAt(requested(account, 'unacknowledged'))
      const period = { year: 2026, month: 10 }
      const names = { specversion: '1.0', id: '7', source: '/billing', type: 'month.closed' }
      const closed = { ...names, data: { account, period } }
      await sendAgain(event, closed, event, event, event, event)
      await origin.received(requested(account, 'unacknowledged'), 6)
      await origin.received(`/at/unacknowledged/month.closed/${account}`)
      await origin.received(ready(account, 'unacknowledged'))
      expect(rendersOf(account)).toBe(1)
      await expectOneReport(account)
    },
    PATIENCE,
  )
})

describe('under hold', () => {
  it(
    'killed while the mail is sent: an operator decides, and no second mail goes out',
    async () => {
      const account = 'held'
      origin.on(figures(account), json(200, FIGURES))
      origin.hold('/mails')
      origin.hold(ready(account, 'unmarked'))
      expect(statusOf(await order(account))).toBe(202)
      while (mailsTo(account).length === 0) {
        await origin.received('/mails', origin.requestsTo('/mails').length + 1)
      }
      await origin.received(ready(account, 'unmarked'))
      await gateway.kill()
      origin.on('/mails', json(201, {}))
      origin.on(ready(account, 'unmarked'), PASS)
      await gateway.restart()

      // The outbox delivers again what it has not marked.
      await origin.received(ready(account, 'unacknowledged'))
      const { entries } = (await admin('GET', 'dead-letters')) as { entries: Letter[] }
      expect(entries).toMatchObject([
        { reason: 'outcome-unknown', correlationId: correlationOf(account) },
      ])
      const [letter] = entries
      const resolution = { outcome: 'succeeded', response: { status: 201 } }
      await admin('POST', `operations/${letter?.operationId}/resolve`, resolution)
      await admin('POST', `dead-letters/${encodeURIComponent(letter?.id ?? '')}/replay`)
      expect(await admin('GET', 'dead-letters')).toMatchObject({ entries: [] })
      await expectOneReport(account)
    },
    PATIENCE,
  )
})

interface Letter {
  readonly id: string
  readonly operationId: string
}

/** What an operator does. */
async function admin(method: string, what: string, body?: unknown): Promise<unknown> {
  const answer = await gateway.send({
    method,
    path: `/_hapax/admin/${what}`,
    headers: { Authorization: `Bearer ${HAPAX_ADMIN_TOKEN}` },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  expect([200, 204]).toContain(statusOf(answer))
  return answer.kind === 'answered' && answer.body !== '' ? JSON.parse(answer.body) : null
}
