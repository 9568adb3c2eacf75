import type { Context } from 'hono'

import type { OperatorView, StuckView } from '../core/operation/operator-view.ts'
import type { ListedEntry } from '../directory/directory-guard.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { type Asked, askMany } from '../platform/ask-many.ts'
import { askDirectory, examine } from './ask-objects.ts'
import { countOf, PAGE_ADVICE, readPage } from './list-page.ts'
import { refusal } from './refusal.ts'

/** The time that the objects of a page have together, in milliseconds: a client waits for it. */
const PAGE_LIMIT_MS = 10_000

/** Lists operations whose outcome is unknown. Those that were resolved meanwhile are struck off. */
export async function listStuck(c: Context<GatewayEnv>): Promise<Response> {
  const asked = readPage(c)
  if (asked === null) return refusal(c, 400, PAGE_ADVICE)
  const { entries, next } = await askDirectory(c, (directory) => directory.listStuck(asked))
  const views = await askMany(entries, ({ operationId }) => examine(c, operationId), {
    inAllMs: PAGE_LIMIT_MS,
  })
  const looked = entries.map((entry, index) => ({ entry, view: views[index] ?? LOST }))
  await strike(c, looked.filter(isOver))
  const total = (await countOf(c))?.stuck ?? null
  const open = looked.filter((one) => !isOver(one))
  return c.json({ entries: open.map(toStuck), next, total })
}

interface Looked {
  readonly entry: ListedEntry
  /** Lost if its object did not answer; then it stays on the list. */
  readonly view: Asked<OperatorView | null>
}

const LOST = { kind: 'lost', isAsked: false } as const

/** An operation in progress is being sent again: it stays on the list. */
function isOver({ view }: Looked): boolean {
  if (view.kind === 'lost') return false
  const { state } = view.answer ?? {}
  return state !== 'unknown' && state !== 'in_progress'
}

/** If that fails, the next reader of the list strikes them off. */
async function strike(c: Context<GatewayEnv>, over: readonly Looked[]): Promise<void> {
  if (over.length === 0) return
  const entries = over.map(({ entry }) => entry)
  await askDirectory(c, (directory) => directory.strike(entries)).catch(() => {})
}

function toStuck({ entry, view }: Looked): StuckView {
  const { operationId: id, tenant, operation, reason, correlationId } = entry
  const ageSeconds = Math.floor((Date.now() - entry.since) / 1_000)
  const since = new Date(entry.since).toISOString()
  const shown = { id, tenant, operation, reason, correlationId, since, ageSeconds }
  if (view.kind === 'lost') return { ...shown, nextAttemptAt: null, isLost: true }
  const isInProgress = view.answer?.state === 'in_progress' && { isInProgress: true }
  return { ...shown, nextAttemptAt: view.answer?.nextAttemptAt ?? null, ...isInProgress }
}
