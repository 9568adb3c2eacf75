import { parseDuration } from '../../src/core/duration.ts'
import type { Finding } from './finding.ts'
import type { Project } from './project.ts'
import type { Place } from './source.ts'

/** How long clients may repeat a request. */
export interface RetryWindow {
  readonly ms: number
  readonly text: string
  /** Whether the user has named it. */
  readonly isGiven: boolean
}

/** SDKs retry for seconds or minutes, and job frameworks for hours; Stripe keeps its keys this long. */
export const DEFAULT_WINDOW: RetryWindow = { ms: 86_400_000, text: '24h', isGiven: false }

/** Cloudflare Queues keep a message this long by default. */
const QUEUE_WINDOW: RetryWindow = { ms: 345_600_000, text: '4d', isGiven: false }

/** How long a route knows an operation. */
interface Kept {
  readonly retentionMs: number
  readonly tombstoneMs: number
}

/** Reports a route that forgets an operation while clients may still repeat it. */
export function retentionShort(
  route: string,
  { retentionMs, tombstoneMs }: Kept,
  window: RetryWindow,
  place: Place | null,
): Finding[] {
  if (retentionMs + tombstoneMs >= window.ms) return []
  const whose = window.isGiven ? 'Your clients retry for' : 'Clients commonly retry for up to'
  return [
    {
      rule: 'retention-short',
      severity: window.isGiven ? 'error' : 'warning',
      what: `${route} forgets an operation after ${toHours(retentionMs + tombstoneMs)}.`,
      why: `${whose} ${window.text}. A retry after that is executed again. A longer retention replays it, a tombstone rejects it with 410.`,
      ...(place !== null && {
        change: {
          file: place.file,
          line: place.line,
          how: 'replace',
          text: `retention: '${window.text}'`,
        } as const,
      }),
    },
  ]
}

function toHours(ms: number): string {
  const hours = ms / 3_600_000
  if (hours >= 1) return `${Math.round(hours * 10) / 10} h`
  return ms >= 60_000 ? `${Math.round(ms / 6_000) / 10} min` : `${ms / 1_000} s`
}

/** Checks the retention that the sources write out, for when no deployment is asked. */
export function checkWrittenRetention({ source }: Project, window: RetryWindow): Finding[] {
  return (source?.options ?? []).flatMap((option) => {
    const { name, value, owner } = option
    const retentionMs = name === 'retention' ? parseDuration(value) : null
    if (retentionMs === null) return []
    const tombstone = source?.options.find((other) => {
      return other.name === 'tombstone' && other.file === option.file && other.call === option.call
    })
    const kept = { retentionMs, tombstoneMs: parseDuration(tombstone?.value) ?? 0 }
    const route = `${owner} in ${option.file}:${option.line}`
    return retentionShort(route, kept, owner === 'consume' ? QUEUE_WINDOW : window, option)
  })
}
