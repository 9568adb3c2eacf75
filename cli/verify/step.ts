/** The result of one step of a check. */
export interface Step {
  /** Stays the same from version to version. */
  readonly step: string
  readonly result: 'passed' | 'failed' | 'skipped'
  readonly detail: string
}

/** A step that passed if something holds. @param why What was there instead. */
export function toStep(step: string, holds: boolean, detail: string, why: string): Step {
  return { step, result: holds ? 'passed' : 'failed', detail: holds ? detail : why }
}
