import type { Context } from 'hono'
import * as z from 'zod/mini'

import { askMany } from '../platform/ask-many.ts'
import type { Changed } from './changed.ts'

/** Things that are changed with one request, at the most. */
export const MAX_IDS = 100

/** How long each may take, and after how long no other is begun, in milliseconds: a client waits for it. */
const ONE_LIMIT_MS = 16_000
const BEGIN_LIMIT_MS = 10_000

const IdsSchema = z.object({
  ids: z.array(z.string()).check(z.minLength(1), z.maxLength(MAX_IDS), z.refine(isEachOnce)),
})

function isEachOnce(ids: readonly string[]): boolean {
  return new Set(ids).size === ids.length
}

/** What is said to who names no ids, or too many. */
export const IDS_ADVICE = `ids has 1 to ${MAX_IDS} ids, each of them once.`

/** Reads which things are to be changed, and what else is said; `null` where there are no ids. */
export function readIds(body: unknown) {
  const read = IdsSchema.safeParse(body)
  if (!read.success) return null
  const { ids: _, ...rest } = body as Record<string, unknown>
  return { ids: read.data.ids, rest }
}

/**
 * Changes many things, each as if it were alone.
 *
 * @param onLost Told of each that was begun and of which nobody knows what became of it.
 * @returns What came of each, in order.
 */
export async function changeMany(
  c: Context,
  ids: readonly string[],
  change: (id: string) => Promise<Changed>,
  onLost: (id: string) => void,
): Promise<Response> {
  const bounds = { limitMs: ONE_LIMIT_MS, inAllMs: BEGIN_LIMIT_MS }
  const changed = await askMany(ids, change, bounds)
  const results = changed.map((one, index) => {
    const id = ids[index] ?? ''
    if (one.kind === 'answered') return toResult(id, one.answer)
    if (!one.isAsked) return { id, result: 'refused', because: NOT_TRIED }
    onLost(id)
    return { id, result: 'unconfirmed' }
  })
  return c.json({ results })
}

const NOT_TRIED = 'It was not tried: the others have taken too long. Send it again.'

function toResult(id: string, changed: Changed) {
  const because = changed.kind === 'refused' && { because: changed.because }
  return { id, result: changed.kind, ...because }
}
