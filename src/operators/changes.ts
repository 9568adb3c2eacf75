import type { Context } from 'hono'
import * as z from 'zod/mini'

import type { OperatorView } from '../core/operation/operator-view.ts'
import { askMany } from '../platform/ask-many.ts'
import { notFound, refusal } from './refusal.ts'

/** The result of a change that an operator asks for. `refused` has a reason for people. */
export type Changed =
  | { readonly kind: 'done'; readonly view: OperatorView | null }
  | { readonly kind: 'refused'; readonly because: string }
  | { readonly kind: 'not-found' }
  | { readonly kind: 'unconfirmed' }

/** Answers a change of one thing. */
export function toResponse(c: Context, changed: Changed): Response {
  switch (changed.kind) {
    case 'not-found':
      return notFound(c)
    case 'refused':
      return refusal(c, 409, changed.because)
    case 'unconfirmed':
      return refusal(c, 503, 'Nobody knows whether it was done. Look at it first.')
    case 'done':
      return changed.view === null ? c.body(null, 204) : c.json(changed.view)
  }
}

/** Reads the body of a request as JSON; `null` if it is not JSON. */
export const readJson = (c: Context): Promise<unknown> => c.req.json<unknown>().catch(() => null)

/** The largest number of things that one request changes. */
export const MAX_IDS = 100

/** The time for each change, and the time after which none is begun, in milliseconds: a client waits for them. */
const BOUNDS = { limitMs: 16_000, inAllMs: 10_000 }

const IdsSchema = z.object({
  ids: z.array(z.string()).check(
    z.minLength(1),
    z.maxLength(MAX_IDS),
    z.refine((ids) => new Set(ids).size === ids.length),
  ),
})

/** The detail of a refusal if there are no ids, or too many. */
export const IDS_ADVICE = `ids has 1 to ${MAX_IDS} ids, each of them once.`

/** Reads the ids of the things to change and the rest of the body; `null` without valid ids. */
export function readIds(body: unknown) {
  const read = IdsSchema.safeParse(body)
  if (!read.success) return null
  const { ids: _, ...rest } = body as Record<string, unknown>
  return { ids: read.data.ids, rest }
}

/**
 * Changes many things, each as if it were alone, and answers with their results in order.
 *
 * @param onLost Called for each change that was begun and did not answer.
 */
export async function changeMany(
  c: Context,
  ids: readonly string[],
  change: (id: string) => Promise<Changed>,
  onLost: (id: string) => void,
): Promise<Response> {
  const changed = await askMany(ids, change, BOUNDS)
  const results = changed.map((one, index) => {
    const id = ids[index] ?? ''
    if (one.kind === 'answered') {
      const because = one.answer.kind === 'refused' && { because: one.answer.because }
      return { id, result: one.answer.kind, ...because }
    }
    if (!one.isAsked) return { id, result: 'refused', because: NOT_TRIED }
    onLost(id)
    return { id, result: 'unconfirmed' }
  })
  return c.json({ results })
}

const NOT_TRIED = 'It was not tried: the others have taken too long. Send it again.'
