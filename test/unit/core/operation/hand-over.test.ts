import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { asOf, decideClaim } from '../../../../src/core/operation/claim.ts'
import { decideHandOver, movedOf } from '../../../../src/core/operation/hand-over.ts'
import type { OperationRecord } from '../../../../src/core/operation/record.ts'
import { factsOf, requestOf, runningOf, settledOf, tombstoneOf } from '../../../fakes/build.ts'

const DAY_MS = 86_400_000
const MEMORY = { retentionMs: 1_000, tombstoneMs: 500 }
const question = { operationId: 'id', to: 'shard:32:7', memory: MEMORY }

/** The record that lets another object guard an operation. */
function markerOf(at = 100): OperationRecord {
  const { record } = decideHandOver(null, question, at)
  if (record === null) throw new Error('It is handed over.')
  return record
}

describe('decideHandOver', () => {
  it.each([
    { what: 'runs', record: runningOf() },
    { what: 'has ended', record: settledOf() },
    { what: 'has expired', record: tombstoneOf() },
  ])('keeps an operation that $what', ({ record }) => {
    const kept = { answer: { kind: 'here' }, record: null }
    expect(decideHandOver(record, question, 100)).toEqual(kept)
  })

  it('hands over an operation of which nothing is known, for as long as it can be remembered', () => {
    const { answer, record } = decideHandOver(null, question, 100)
    expect(answer).toEqual({ kind: 'moved', to: 'shard:32:7', at: 100 })
    expect(record).toMatchObject({ expiresAt: 1_100 + DAY_MS, tombstoneMs: 500 })
    expect(movedOf(record)).toEqual(answer)
  })

  it('hands nothing over for a question that claims nothing', () => {
    const looking = { ...question, memory: null }
    const nothing = { answer: { kind: 'unknown' }, record: null }
    expect(decideHandOver(null, looking, 100)).toEqual(nothing)
    expect(decideHandOver(markerOf(), looking, 200).answer).toMatchObject({ at: 100 })
  })

  it('says the same again, and longer once that would end too soon', () => {
    const marker = markerOf()
    const soon = decideHandOver(marker, question, 200)
    expect(soon).toEqual({ answer: movedOf(marker), record: null })
    const late = decideHandOver(marker, question, 100 + DAY_MS + 1)
    expect(late.answer).toEqual(movedOf(marker))
    expect(late.record).toMatchObject({ expiresAt: 1_101 + 2 * DAY_MS })
  })
})

describe('a claim at an object that has handed the operation over', () => {
  it('is told where to go', () => {
    const decision = decideClaim(markerOf(), requestOf(), factsOf({ now: 200 }))
    expect(decision).toEqual({ kind: 'moved', to: 'shard:32:7', at: 100 })
  })

  it.each([
    { movedAt: 100, kind: 'moved' },
    { movedAt: 101, kind: 'execute' },
  ])('is $kind if it was handed back at $movedAt', ({ movedAt, kind }) => {
    const request = requestOf({ movedAt })
    expect(decideClaim(markerOf(), request, factsOf({ now: 200 }))).toMatchObject({ kind })
  })

  it('is new when that is over', () => {
    const endsAt = 1_100 + DAY_MS + 500
    const at = (now: number) => decideClaim(markerOf(), requestOf(), factsOf({ now })).kind
    expect([at(endsAt - 1), at(endsAt)]).toEqual(['moved', 'execute'])
  })

  it('is refused by a version that does not know of it', () => {
    const { moved: _, ...tombstone } = markerOf() as { moved?: unknown } & OperationRecord
    const decision = decideClaim(tombstone, requestOf(), factsOf({ now: 200 }))
    expect(decision.kind).toBe('expired')
  })
})

/** How a Worker is configured: where operations are now, and where they were before. */
interface Configured {
  readonly to: string
  readonly before: string | null
}

const CONFIGURED: readonly Configured[] = [
  { to: 'old', before: null },
  { to: 'new', before: 'old' },
  // The number was changed back.
  { to: 'old', before: 'new' },
]

/** Two objects and any number of Workers, whose messages arrive in any order. */
class World {
  readonly #records = new Map<string, OperationRecord>()
  #now = 1_000
  /** Executions since the key was last free. */
  executions = 0

  /** The operation was not executed, and is forgotten. */
  free(): void {
    for (const [name, record] of this.#records) {
      if (record.state === 'in_progress') this.#records.delete(name)
    }
    this.executions = 0
  }

  /** The messages of one request, one after the other. */
  *request({ to, before }: Configured): Generator<void, void, void> {
    let place = { name: to, movedAt: null as number | null }
    if (before !== null) {
      yield
      place = this.#handOver(before, to)
    }
    for (let moves = 0; moves < 5; moves++) {
      yield
      const next = this.#claim(place)
      if (next === null) return
      place = next
    }
    throw new Error('It goes in a circle.')
  }

  #handOver(before: string, to: string) {
    const asked = { operationId: 'id', to, memory: MEMORY }
    const { answer, record } = decideHandOver(this.#read(before), asked, this.#tick())
    if (record !== null) this.#records.set(before, record)
    if (answer.kind === 'here') return { name: before, movedAt: null }
    if (answer.kind !== 'moved') throw new Error('A claim is handed over.')
    return { name: answer.to, movedAt: answer.at }
  }

  #claim({ name, movedAt }: { readonly name: string; readonly movedAt: number | null }) {
    const facts = factsOf({ now: this.#tick(), isRunning: true })
    const decision = decideClaim(this.#read(name), requestOf({ movedAt }), facts)
    if (decision.kind === 'moved') return { name: decision.to, movedAt: decision.at }
    if (decision.kind === 'execute') {
      this.executions += 1
      this.#records.set(name, decision.record)
    }
    return null
  }

  #read(name: string): OperationRecord | null {
    const record = this.#records.get(name)
    return record === undefined ? null : asOf(record, factsOf({ now: this.#now, isRunning: true }))
  }

  #tick(): number {
    return (this.#now += 1)
  }
}

describe('an operation whose object changes', () => {
  it('is executed once, whatever the order in which Workers of all configurations ask', () => {
    const step = fc.oneof(
      { arbitrary: fc.record({ begin: fc.constantFrom(...CONFIGURED) }), weight: 3 },
      { arbitrary: fc.record({ go: fc.nat(7) }), weight: 8 },
      { arbitrary: fc.constant('free' as const), weight: 1 },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const world = new World()
        let requests: Generator<void, void, void>[] = []
        const go = (nth: number) => {
          const one = requests[nth % requests.length]
          if (one?.next().done === true) requests = requests.filter((other) => other !== one)
          expect(world.executions).toBeLessThanOrEqual(1)
        }
        for (const one of steps) {
          if (one === 'free') world.free()
          else if ('begin' in one) requests.push(world.request(one.begin))
          else go(one.go)
        }
        while (requests.length > 0) go(0)
      }),
      { numRuns: 3_000 },
    )
  })
})
