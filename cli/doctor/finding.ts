/** How bad a finding is: only errors fail the command. */
export type Severity = 'error' | 'warning' | 'note'

/** A line to change. */
export interface Change {
  /** Relative to the directory of the project. */
  readonly file: string
  /** Counted from 1. */
  readonly line: number
  /** `add` inserts the text as new lines before the line. */
  readonly how: 'add' | 'replace' | 'remove'
  /** In the format of the file. Empty if the line is to be removed. */
  readonly text: string
}

/** Something that `hapax doctor` noticed. Nothing in it contains a secret. */
export interface Finding {
  /** Name of the rule, which stays the same from version to version. */
  readonly rule: string
  readonly severity: Severity
  readonly what: string
  readonly why: string
  readonly change?: Change
}

/** A group of rules that could not be checked, and the reason. */
export interface Unchecked {
  readonly check: string
  readonly reason: string
}

/** The result of one check: findings, or the reason why there was none. */
export type Checked = readonly Finding[] | Unchecked
