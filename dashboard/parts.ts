import { NotConfigured, SignInNeeded } from './api.ts'
import { formatTime } from './format.ts'
import { cut, element, say } from './page.ts'

/** The content of a part of the page, and why it could not be loaded again. */
export interface Part<value> {
  /** The latest that could be loaded; `null` if none ever could. */
  readonly value: value | null
  /** When it was loaded, in epoch milliseconds. */
  readonly at: number
  readonly fault: 'none' | 'not-configured' | 'failed'
  /** For people; empty without a fault. */
  readonly because: string
}

/** Only a part could be read. The message says why. */
export class Partly<value> extends Error {
  override readonly name = 'Partly'
  readonly value: value

  constructor(value: value, because: string) {
    super(because)
    this.value = value
  }
}

/**
 * Loads a part of the page. Its faults do not concern the other parts.
 *
 * @param before Its content so far; `null` if that belongs to another choice.
 * @throws {SignInNeeded} When nobody is let in.
 */
export async function loadPart<value>(
  load: () => Promise<value>,
  before: Part<value> | null,
): Promise<Part<value>> {
  try {
    return { value: await load(), at: Date.now(), fault: 'none', because: '' }
  } catch (error) {
    if (error instanceof SignInNeeded) throw error
    const { value = null, at = 0 } = toLeft(error, before)
    const fault = error instanceof NotConfigured ? 'not-configured' : 'failed'
    return {
      value,
      at,
      fault,
      because: cut(error instanceof Error ? error.message : String(error)),
    }
  }
}

/** The content that is left after a fault. */
function toLeft<value>(error: unknown, before: Part<value> | null): Partial<Part<value>> {
  if (error instanceof Partly) return { value: error.value as value, at: Date.now() }
  return before ?? {}
}

/** Says in the place of parts that they could not be loaded, and how old their content is. */
export function sayFault(id: string, ...parts: readonly (Part<unknown> | undefined)[]): void {
  const faults = parts.flatMap((part) => (part?.fault === 'failed' ? [toText(part)] : []))
  say(`${id}-fault`, [...new Set(faults)].join(' '))
}

function toText({ because, value, at }: Part<unknown>): string {
  const shown = value === null ? '' : ` The content below is from ${formatTime(at)}.`
  return `This part could not be loaded: ${because}${shown}`
}

/** Sections that need the Analytics Engine. */
const FIGURES = ['traffic', 'trouble', 'conflicts', 'keyless', 'latency']

/** Says once, and not in each place, that the Analytics Engine is not configured. */
export function sayConfigured(isConfigured: boolean): void {
  const advice =
    'Analytics Engine is not configured, so there are no figures of requests. Set CLOUDFLARE_ACCOUNT_ID and the secret CLOUDFLARE_API_TOKEN.'
  say('analytics-hint', isConfigured ? '' : advice)
  for (const id of FIGURES) {
    const section = element(`${id}-title`, HTMLHeadingElement).closest('section')
    section?.toggleAttribute('hidden', !isConfigured)
  }
}
