import { abortAllDurableObjects, runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'

import type { Answer } from '../../src/core/operation/answer.ts'
import type {
  Caller,
  Grant,
  OperationGuard,
  SettleCall,
  StreamCall,
} from '../../src/core/operation/operation-guard.ts'
import type { ClaimRef } from '../../src/core/operation/record.ts'
import { KEEP, requestOf, resendOf, HOLD, snapshotOf } from '../fakes/build.ts'

const RUNS = 50
const LEASE_MS = 900
const DAY_MS = 86_400_000

afterEach(() => {
  vi.useRealTimers()
})

/** What happens next between the Workers, the way to the object, and the object. */
type Step =
  /** A Worker with a request of its own claims; or one that has heard nothing claims again. */
  | { readonly do: 'claim' }
  | { readonly do: 'claim again'; readonly which: number }
  | { readonly do: 'renew'; readonly which: number }
  /** A handler has come to its end, or begins to stream. */
  | { readonly do: 'settle'; readonly which: number }
  | { readonly do: 'stream'; readonly which: number }
  | { readonly do: 'end'; readonly which: number }
  /** A message arrives, not always the oldest, and sometimes not only once or without its answer. */
  | {
      readonly do: 'arrive'
      readonly which: number
      readonly isTwice: boolean
      readonly isAnswerLost: boolean
    }
  | { readonly do: 'pass'; readonly ms: number }
  | { readonly do: 'alarm' }
  | { readonly do: 'reset' }

const which = fc.nat(9)
const of = <name extends Step['do']>(name: name) => fc.record({ do: fc.constant(name), which })

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.constant({ do: 'claim' } as const) },
  { weight: 1, arbitrary: of('claim again') },
  { weight: 6, arbitrary: of('renew') },
  { weight: 1, arbitrary: of('settle') },
  { weight: 3, arbitrary: of('stream') },
  { weight: 1, arbitrary: of('end') },
  {
    weight: 14,
    arbitrary: fc.record({
      do: fc.constant('arrive' as const),
      which,
      isTwice: fc.nat(3).map((nth) => nth === 0),
      isAnswerLost: fc.nat(5).map((nth) => nth === 0),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      ms: fc.constantFrom(300, LEASE_MS, 6_000),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ do: 'alarm' } as const) },
  { weight: 1, arbitrary: fc.constant({ do: 'reset' } as const) },
)

/** Every history begins with a handler that runs. */
const BEGINNING: readonly Step[] = [
  { do: 'claim' },
  { do: 'arrive', which: 0, isTwice: false, isAnswerLost: false },
]

const NOBODY: Caller = {
  isAsync: false,
  waitMs: 0,
  corsOrigin: null,
  probeHeaders: [],
  sealKeys: [],
  deadlineAt: null,
  rateLimiter: null,
  address: null,
}

const encode = (text: string) => new Uint8Array(new TextEncoder().encode(text))

/** A request's Worker, as far as it has come. */
interface Worker {
  readonly claimId: string
  claim: ClaimRef | null
  isDone: boolean
}

/** An answer that is still coming. */
interface OpenStream {
  readonly text: string
  readonly writer: WritableStreamDefaultWriter<Uint8Array>
  /** What its first client gets, once it has come to its end. */
  readonly received: Promise<string | null>
  /** Whether it is that of the last claim, and so to be recorded. */
  readonly isOfLast: boolean
  readonly resetCount: number
}

/** On its way to the object. It changes what its Worker knows when its answer arrives. */
type Message = (isAnswerLost: boolean) => Promise<void>

/** Workers, one object and the way between them. */
class Play {
  /** Handlers that were begun: one for each claim that was granted and heard of. */
  readonly runs: string[] = []
  /** Every text that a repeat was answered with. */
  readonly replays: string[] = []
  /** Texts of which somebody was told that they are stored: a Worker, or the client of a stream by its end. */
  readonly taken: string[] = []
  /** Texts that the first client of a stream did not get whole, though nothing was reset. */
  readonly cut: string[] = []
  /** Claims that were granted after a result was known. */
  readonly grantedBehindResult: string[] = []
  readonly #id: string
  readonly #isResent: boolean
  readonly #workers: Worker[] = []
  #lastGranted = ''
  #resetCount = 0
  #wire: Message[] = []
  #streams: OpenStream[] = []

  constructor(id: string, isResent: boolean) {
    this.#id = id
    this.#isResent = isResent
  }

  async do(next: Step): Promise<void> {
    switch (next.do) {
      case 'claim':
        return this.#claim({ claimId: crypto.randomUUID(), claim: null, isDone: false })
      case 'claim again':
        return this.#withOne(
          (worker) => worker.claim === null,
          next.which,
          (worker) => this.#claim(worker),
        )
      case 'renew':
        return this.#withOne(isRunning, next.which, (worker) => this.#renew(worker))
      case 'settle':
        return this.#withOne(isRunning, next.which, (worker) => this.#settle(worker))
      case 'stream':
        return this.#withOne(isRunning, next.which, (worker) => this.#stream(worker))
      case 'end':
        return this.#end(next.which)
      case 'arrive':
        return this.#arrive(next)
      case 'pass':
        vi.setSystemTime(Date.now() + next.ms)
        return
      case 'alarm':
        await runDurableObjectAlarm(env.OPERATIONS.getByName(this.#id))
        return
      case 'reset':
        // On the test's own timer: an object that is aborted in its own turn takes workerd along.
        this.#resetCount += 1
        await scheduler.wait(1)
        await abortAllDurableObjects()
    }
  }

  /** Everything that is under way comes to its end, nobody renews, and a repeat comes. */
  async finish(): Promise<(Grant | Answer)['kind']> {
    while (this.#wire.length > 0)
      await this.#arrive({ which: 0, isTwice: false, isAnswerLost: true })
    while (this.#streams.length > 0) await this.#end(0)
    vi.setSystemTime(Date.now() + LEASE_MS)
    const answer = await this.#object.claim(this.#request(crypto.randomUUID()), NOBODY)
    await this.#read(answer)
    return answer.kind
  }

  get #object(): OperationGuard {
    return env.OPERATIONS.getByName(this.#id) as unknown as OperationGuard
  }

  #request(claimId: string) {
    const recovery = this.#isResent ? resendOf() : HOLD
    const times = { leaseMs: LEASE_MS, retentionMs: DAY_MS }
    // No route of this deployment: none has a word about it that is safer than its own.
    const operation = 'POST /of-no-route'
    return requestOf({ operationId: this.#id, operation, claimId, recovery, ...times })
  }

  #withOne(is: (worker: Worker) => boolean, nth: number, work: (worker: Worker) => void): void {
    const those = this.#workers.filter(is)
    const worker = those[nth % those.length]
    if (worker !== undefined) work(worker)
  }

  #claim(worker: Worker): void {
    if (!this.#workers.includes(worker)) this.#workers.push(worker)
    this.#wire.push(async (isAnswerLost) => {
      const answer = await this.#object.claim(this.#request(worker.claimId), NOBODY)
      if (answer.kind === 'granted') this.#granted(nameOf(answer.claim))
      if (isAnswerLost || worker.claim !== null || worker.isDone) return
      if (answer.kind === 'granted') {
        worker.claim = answer.claim
        this.runs.push(nameOf(answer.claim))
      } else worker.isDone = true
      await this.#read(answer)
    })
  }

  #granted(name: string): void {
    this.#lastGranted = name
    if (this.taken.length + this.replays.length > 0) this.grantedBehindResult.push(name)
  }

  async #read(answer: Grant | Answer): Promise<void> {
    if (answer.kind !== 'replayed') return
    this.replays.push(await new Response(answer.response.body).text())
  }

  #renew({ claim }: Worker): void {
    if (claim === null) return
    this.#wire.push(async () => void (await this.#object.renew(claim, LEASE_MS)))
  }

  #settle(worker: Worker): void {
    const { claim } = worker
    if (claim === null) return
    worker.isDone = true
    const text = textOf(claim)
    this.#wire.push(async (isAnswerLost) => {
      const result = await this.#object.settle(settleOf(claim, text))
      if (!isAnswerLost && result !== 'refused') this.taken.push(text)
    })
  }

  #stream(worker: Worker): void {
    const { claim } = worker
    if (claim === null) return
    worker.isDone = true
    const text = textOf(claim)
    let isSent = false
    this.#wire.push(async () => {
      // A body is sent once.
      if (isSent) return
      isSent = true
      const { readable, writable } = new IdentityTransformStream()
      const isOfLast = this.#lastGranted === nameOf(claim)
      const { body } = await this.#object.stream(streamOf(claim, readable))
      const received = new Response(body).text().catch(() => null)
      const writer = writable.getWriter()
      this.#streams.push({ text, writer, received, isOfLast, resetCount: this.#resetCount })
    })
  }

  async #end(nth: number): Promise<void> {
    const stream = this.#streams[nth % this.#streams.length]
    if (stream === undefined) return
    this.#streams = this.#streams.filter((other) => other !== stream)
    const written = stream.writer.write(encode(stream.text)).then(() => stream.writer.close())
    // Of a stream whose object was reset nobody reads any more.
    written.catch(() => {})
    if (stream.resetCount !== this.#resetCount) return
    if ((await stream.received) !== stream.text) this.cut.push(stream.text)
    if (stream.isOfLast) this.taken.push(stream.text)
  }

  async #arrive({
    which: nth,
    isTwice,
    isAnswerLost,
  }: Omit<Extract<Step, { do: 'arrive' }>, 'do'>) {
    const message = this.#wire[nth % this.#wire.length]
    if (message === undefined) return
    if (!isTwice) this.#wire = this.#wire.filter((other) => other !== message)
    await message(isAnswerLost)
  }
}

const isRunning = ({ claim, isDone }: Worker) => claim !== null && !isDone
const nameOf = ({ claimId, fence }: ClaimRef) => `${claimId}/${fence}`
const textOf = (claim: ClaimRef) => `what ${nameOf(claim)} has answered`

function settleOf(claim: ClaimRef, text: string): SettleCall {
  const body = encode(text)
  const snapshot = snapshotOf({ bodyBytes: body.byteLength })
  const evidence = { originStatus: 201, fault: null }
  const head = { status: 201, headers: [], corsOrigin: null }
  return {
    claim,
    settlement: { outcome: 'succeeded', snapshot, retentionMs: null, evidence },
    end: { kind: 'response', outcome: 'succeeded', ...head, body },
    sealKey: null,
    events: [],
  }
}

function streamOf(claim: ClaimRef, body: ReadableStream<Uint8Array>): StreamCall {
  return {
    claim,
    body,
    status: 201,
    headers: [],
    directives: { outcome: null, isStorable: true, retentionMs: null, resultStatus: null },
    rules: { outcomes: {}, snapshot: KEEP, corsOrigin: null },
    limitBytes: 1_000_000,
    keeping: { sealKey: null, spillBytes: null },
    events: [],
  }
}

describe('messages of Workers, delayed, doubled and in any order', { timeout: 120_000 }, () => {
  it.each([{ unknown: 'hold' }, { unknown: 'resend' }])(
    'never execute twice what was not resent, and leave what is replayed whole: $unknown',
    async ({ unknown }) => {
      const isResent = unknown === 'resend'
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + DAY_MS })
      let count = 0
      const property = fc.asyncProperty(
        fc.array(step, { minLength: 10, maxLength: 40, size: 'max' }),
        async (steps) => {
          count += 1
          const play = new Play(`history-${unknown}-${count}`, isResent)
          for (const each of [...BEGINNING, ...steps]) await play.do(each)
          const last = await play.finish()
          const { runs, replays, taken, grantedBehindResult } = play
          // One claim is run once, and another one is granted only where the policy says so.
          expect(new Set(runs).size).toBe(runs.length)
          expect(isResent || runs.length <= 1).toBe(true)
          // A result stays, whole, and nobody is let in behind it.
          expect(grantedBehindResult).toEqual([])
          expect(play.cut).toEqual([])
          expect(new Set([...replays, ...taken]).size).toBeLessThanOrEqual(1)
          for (const text of replays) expect(runs.map(toText)).toContain(text)
          // Nothing stays in progress.
          expect(isResent ? ['granted', 'replayed'] : ['granted', 'replayed', 'held']).toContain(
            last,
          )
          expect(last === 'replayed' || taken.length === 0).toBe(true)
        },
      )
      await fc.assert(property, { numRuns: RUNS, endOnFailure: true })
    },
  )
})

const toText = (name: string) => `what ${name} has answered`
