import type { Context } from 'hono'

import type { OperatorView } from '../core/operator-view.ts'
import { notFound, refusal } from './refusal.ts'

/** What came of a change that an operator has asked for. `refused` says why, for people. */
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
