import { NotConfigured, SignInNeeded } from './api.ts'
import { cut } from './text.ts'

/** What was loaded of a part of the page, and why it could not be loaded anew. */
export interface Part<value> {
  /** Of now, or of before where it could not be loaded anew; `null`: it was never there. */
  readonly value: value | null
  /** Epoch milliseconds since when it is so. */
  readonly at: number
  readonly fault: 'none' | 'not-configured' | 'failed'
  /** For people; empty where nothing is wrong. */
  readonly because: string
}

/** Only a part of it could be read; the message says why not all. */
export class Partly<value> extends Error {
  override readonly name = 'Partly'
  readonly value: value

  constructor(value: value, because: string) {
    super(because)
    this.value = value
  }
}

/**
 * Loads a part of the page: what is wrong with it is no business of the others.
 *
 * @param before What it was; `null` where that is of something else.
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

/** What is there where not all of it could be loaded. */
function toLeft<value>(error: unknown, before: Part<value> | null): Partial<Part<value>> {
  if (error instanceof Partly) return { value: error.value as value, at: Date.now() }
  return before ?? {}
}
