import { randomUUID } from 'node:crypto'

import type { Shot } from './connection.ts'
import type { Contender } from './contender.ts'
import { sendEach } from './load.ts'
import type { Target } from './scenarios.ts'

/** So many operations are counted where each has an object; the mean is told. */
const OPERATIONS = 16

/** What the objects of a Worker tell at `/bench/counts`. */
interface Counts {
  readonly calls: number
  readonly alarms: number
  readonly statements: number
  readonly rowsRead: number
  readonly rowsWritten: number
  readonly setAlarms: number
  readonly deleteAlls: number
}

/** A contender whose objects count, and what to ask of it. */
export interface Counted {
  readonly contender: Contender
  /** Which operations: their policy. */
  readonly name: string
  /** How many operations to count: the more there are, the less weighs what a shard does once. */
  readonly operations?: number
  readonly first: Target
  readonly replay: Target
  /** The same key for another payload, where that is told from a repeat. */
  readonly mismatch?: Target
}

/** Counts of one request of a kind: a line of the table. */
export interface CountedStep {
  readonly operation: string
  readonly step: string
  readonly counts: Counts
  /** The platform bills an alarm that is set as a row that is written. */
  readonly billedWrites: number
}

/** Counts what an operation does to the storage, from its claim to its deletion. */
export async function countOperations(counted: Counted, originUrl: string): Promise<CountedStep[]> {
  const { url, stop } = await counted.contender.start(originUrl)
  const take = async (what: string): Promise<Counts> => {
    const response = await fetch(`${url}/bench/${what}`, { method: 'POST' })
    return (await response.json()) as Counts
  }
  const keys = Array.from({ length: countOf(counted) }, () => randomUUID())
  const count = async (step: string, { path, expects }: Target, other: Partial<Shot> = {}) => {
    await sendEach(
      url,
      keys.map((key) => ({ path, expects, key, ...other })),
    )
    return toStep(counted, step, await take('counts'))
  }
  const { first, replay, mismatch } = counted
  try {
    const steps = [await count('new operation', first), await count('replay', replay)]
    await take('leave')
    steps.push(
      await count('replay, object not in memory', replay),
      ...(mismatch ? [await count('mismatch', mismatch, { body: '{"amount":1}' })] : []),
    )
    return [...steps, toStep(counted, 'expiry and deletion', await take('lapse'))]
  } finally {
    await stop()
  }
}

const countOf = ({ operations = OPERATIONS }: Counted) => operations

function toStep(counted: Counted, step: string, sums: Counts): CountedStep {
  const { contender, name } = counted
  const means = Object.entries(sums).map(([what, sum]) => [what, Number(sum) / countOf(counted)])
  const counts = Object.fromEntries(means) as Counts
  const billedWrites = counts.rowsWritten + counts.setAlarms
  return { operation: `${contender.name}: ${name}`, step, counts, billedWrites }
}

/** A line of the table. */
export function toCountsRow({ operation, step, counts, billedWrites }: CountedStep) {
  const means = Object.entries({ ...counts, billedWrites })
  const rounded = means.map(([what, mean]) => [what, Math.round(mean * 100) / 100])
  return { operation, step, ...Object.fromEntries(rounded) }
}
