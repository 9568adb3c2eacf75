import { formatTime } from './format.ts'
import { element } from './page.ts'
import type { Part } from './parts.ts'
import { say } from './table.ts'

/** Says in the place of a part that it could not be loaded, and of when it is what stands there. */
export function sayFault(id: string, ...parts: readonly (Part<unknown> | undefined)[]): void {
  const faults = parts.flatMap((part) => (part?.fault === 'failed' ? [toText(part)] : []))
  say(`${id}-fault`, [...new Set(faults)].join(' '))
}

function toText({ because, value, at }: Part<unknown>): string {
  const shown = value === null ? '' : ` The content below is from ${formatTime(at)}.`
  return `This part could not be loaded: ${because}${shown}`
}

/** Sections that show nothing but what requests have left as points. */
const FIGURES = ['traffic', 'trouble', 'conflicts', 'keyless', 'latency']

/** Says once, and not in each place, that there are no figures since nobody has configured them. */
export function sayConfigured(isConfigured: boolean): void {
  const advice =
    'Analytics Engine is not configured, so there are no figures of requests. Set CLOUDFLARE_ACCOUNT_ID and the secret CLOUDFLARE_API_TOKEN.'
  say('analytics-hint', isConfigured ? '' : advice)
  for (const id of FIGURES) {
    const section = element(`${id}-title`, HTMLHeadingElement).closest('section')
    section?.toggleAttribute('hidden', !isConfigured)
  }
}
