import type { Context } from 'hono'

import type { OperatorView } from '../core/operator.ts'
import { directoryOf, type StuckEntry } from '../durable/directory-guard.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { logFault } from '../metrics/log.ts'
import { examine } from './operate.ts'
import { PAGE_ADVICE, readPage } from './page.ts'
import { refusal } from './refusal.ts'

/** The list, as far as it still holds: what was resolved meanwhile is struck off. */
export async function listStuck(c: Context<GatewayEnv>): Promise<Response> {
  const asked = readPage(c)
  if (asked === null) return refusal(c, 400, PAGE_ADVICE)
  const page = await directoryOf(c.env).listStuck(asked)
  const looked = await Promise.all(page.entries.map((entry) => look(c, entry)))
  const resolved = looked.filter(({ view }) => view !== 'lost' && view?.state !== 'unknown')
  if (resolved.length > 0) {
    await directoryOf(c.env).strike(resolved.map(({ entry }) => entry))
  }
  const entries = looked.filter((one) => !resolved.includes(one)).map(toStuck)
  const { stuck: total } = await directoryOf(c.env).count()
  return c.json({ entries, next: page.next, total })
}

interface Looked {
  readonly entry: StuckEntry
  /** `lost`: its object did not answer, so it stays on the list. */
  readonly view: OperatorView | 'lost' | null
}

async function look(c: Context<GatewayEnv>, entry: StuckEntry): Promise<Looked> {
  try {
    return { entry, view: await examine(c, entry.operationId) }
  } catch (error) {
    logFault('an operation on the list could not be looked up', error)
    return { entry, view: 'lost' }
  }
}

function toStuck({ entry: { operationId: id, ...entry }, view }: Looked) {
  const ageSeconds = Math.floor((Date.now() - entry.since) / 1_000)
  const since = new Date(entry.since).toISOString()
  const nextAttemptAt = view === 'lost' ? null : (view?.nextAttemptAt ?? null)
  return { id, ...entry, since, ageSeconds, nextAttemptAt }
}
