import { setTimeout as sleep } from 'node:timers/promises'

import { type Answer, type DemoRequest, headerOf, statusOf } from './client.ts'
import type { EffectKind } from './origin/ledger-page.ts'
import type { Numbers } from './report.ts'
import {
  type Stage,
  crashGateway,
  sendAndDie,
  sendAndHangUp,
  sendFromNewProcess,
  sendOnce,
} from './stage.ts'

/** One way in which a retry goes wrong without a gateway, played on a real one. */
export interface Scene {
  title: string
  /** The side effects that the scene is about. */
  kind: EffectKind
  /** What must come out: once is once, whatever happened to the requests. */
  expected: Numbers
  /** Gives everything that the clients got, in the order in which they sent. */
  play(stage: Stage, say: (step: string) => void): Promise<Answer[]>
  /** What is wrong with the answers, beyond what the numbers tell. */
  complaints?(answers: readonly Answer[]): string[]
}

const duplicates = 100
const slowly = { 'Demo-Behaviour': 'slow=800' }

/** All of them, independent of each other: every one has a key of its own. */
export const scenes: readonly Scene[] = [
  {
    title: 'burst of duplicates',
    kind: 'payment',
    expected: { effects: 1, executed: 1, repeated: duplicates - 1, conflicts: 0 },
    async play(stage, say) {
      say(`${duplicates} clients send the same payment at the same time`)
      const request = payment('storm', { amount: 4200, currency: 'EUR' })
      return Promise.all(Array.from({ length: duplicates }, () => sendOnce(stage, request)))
    },
  },
  {
    title: 'lost response',
    kind: 'payment',
    expected: { effects: 1, executed: 0, repeated: 1, conflicts: 0 },
    async play(stage, say) {
      const request = payment('lost-response', { amount: 1999, currency: 'EUR' })
      say('a client disconnects while the API processes its payment')
      const lost = await sendAndHangUp(stage, { ...request, headers: slowly })
      say('it sends the same key again')
      return [lost, await sendOnce(stage, request)]
    },
  },
  {
    title: 'changed payload',
    kind: 'payment',
    expected: { effects: 1, executed: 1, repeated: 0, conflicts: 1 },
    async play(stage, say) {
      const first = await sendOnce(stage, payment('changed', { amount: 1000, currency: 'EUR' }))
      say('a client pays 10.00 EUR, then 90.00 EUR with the same key')
      return [first, await sendOnce(stage, payment('changed', { amount: 9000, currency: 'EUR' }))]
    },
    complaints: ([, second]) => [
      ...differs('the status', second && statusOf(second), 409),
      ...differs('Hapax-Error', second && headerOf(second, 'Hapax-Error'), 'key-reused'),
    ],
  },
  {
    title: 'client crash',
    kind: 'payment',
    expected: { effects: 1, executed: 0, repeated: 1, conflicts: 0 },
    async play(stage, say) {
      const request = payment('client-crash', { amount: 777, currency: 'USD' })
      say('a client process is killed during its payment')
      const lost = await sendAndDie(stage, { ...request, headers: slowly })
      say('a new process sends it again')
      return [lost, await sendFromNewProcess(stage, request)]
    },
  },
  {
    title: 'gateway crash',
    kind: 'payment',
    expected: { effects: 1, executed: 1, repeated: 1, conflicts: 0 },
    async play(stage, say) {
      const request = payment('gateway-crash', { amount: 31_337, currency: 'CHF' })
      const first = await sendOnce(stage, request)
      say('all gateway processes are killed (kill -9) right after a payment, then restarted')
      await crashGateway(stage)
      say('the client sends it again')
      return [first, await sendOnce(stage, request)]
    },
    complaints: replayedIn,
  },
  {
    title: 'same payload, formatted differently',
    kind: 'payment',
    expected: { effects: 1, executed: 1, repeated: 1, conflicts: 0 },
    async play(stage, say) {
      say('{"amount":500,"currency":"EUR"} is sent again as {"currency": "EUR", "amount": 5.0e2}')
      const request = payment('rewritten', { amount: 500, currency: 'EUR' })
      const first = await sendOnce(stage, request)
      const rewritten = '{ "currency": "EUR",\n  "amount": 5.0e2 }'
      return [first, await sendOnce(stage, { ...request, body: rewritten })]
    },
    complaints: replayedIn,
  },
  {
    title: 'two workers, one ticket',
    kind: 'ticket',
    expected: { effects: 1, executed: 1, repeated: 1, conflicts: 0 },
    async play(stage, say) {
      say('two workers open the same ticket')
      const body = JSON.stringify({ subject: 'The printer is on fire' })
      return twice(stage, { path: '/tickets', key: 'demo-ticket', body })
    },
  },
  {
    title: 'two clicks, one grant',
    kind: 'grant',
    expected: { effects: 1, executed: 1, repeated: 1, conflicts: 0 },
    async play(stage, say) {
      say('a button that grants a role is clicked twice')
      const body = JSON.stringify({ user: 'ada', role: 'admin' })
      return twice(stage, { path: '/grants', key: 'demo-grant', body })
    },
  },
  {
    title: 'second API, with a token of its own',
    kind: 'contact',
    expected: { effects: 1, executed: 1, repeated: 1, conflicts: 0 },
    async play(stage, say) {
      say('a client creates the same contact twice, at an API that does not know its credential')
      const body = JSON.stringify({ name: 'Ada' })
      return twice(stage, { path: '/crm/contacts', key: 'demo-contact', body })
    },
  },
]

function payment(key: string, body: { amount: number; currency: string }): DemoRequest {
  return { path: '/payments', key: `demo-${key}`, body: JSON.stringify(body) }
}

async function twice(stage: Stage, request: DemoRequest): Promise<Answer[]> {
  const answers = await Promise.all([sendPatiently(stage, request), sendPatiently(stage, request)])
  return answers.flat()
}

/** Comes again while the gateway says that the operation is still running, as a client should. */
async function sendPatiently(stage: Stage, request: DemoRequest, tries = 5): Promise<Answer[]> {
  const answer = await sendOnce(stage, request)
  if (tries === 1 || headerOf(answer, 'Hapax-Error') !== 'in-progress') return [answer]
  await sleep(Number(headerOf(answer, 'Retry-After') ?? 1) * 1000)
  return [answer, ...(await sendPatiently(stage, request, tries - 1))]
}

function replayedIn([, second]: readonly Answer[]): string[] {
  return [
    ...differs('Idempotency-Status', second && headerOf(second, 'Idempotency-Status'), 'replayed'),
    ...differs('Idempotent-Replayed', second && headerOf(second, 'Idempotent-Replayed'), 'true'),
  ]
}

type Shown = string | number | undefined

function differs(what: string, is: Shown, expected: Shown): string[] {
  return is === expected ? [] : [`${what} of the second response is ${is}, expected ${expected}`]
}
