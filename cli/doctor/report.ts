import type { Change, Finding, Severity, Unchecked } from './finding.ts'

/** What `hapax doctor` has found. Its JSON form only gains members within a version. */
export interface Report {
  readonly version: 1
  /** The configuration file. */
  readonly configuration: string
  /** `null`: the default environment. */
  readonly environment: string | null
  /** The worst first. */
  readonly findings: readonly Finding[]
  /** What could not be checked, and why. */
  readonly notChecked: readonly Unchecked[]
}

const RANK: Readonly<Record<Severity, number>> = { error: 0, warning: 1, note: 2 }
const WIDTH = 'warning  '.length
const INDENT = ' '.repeat(WIDTH)

/** Puts the worst findings first and keeps their order otherwise. */
export function bySeverity(findings: readonly Finding[]): Finding[] {
  return findings.toSorted((one, other) => RANK[one.severity] - RANK[other.severity])
}

/** Formats a report for people. */
export function toText(report: Report): string {
  const { environment, configuration, findings, notChecked } = report
  const where = environment === null ? configuration : `${configuration}, env.${environment}`
  const blocks = findings.map(toBlock)
  const skipped = notChecked.map(({ check, reason }) => `not checked: ${check}: ${reason}\n`)
  return [...blocks, ...skipped, `${where}: ${toCounts(findings)}\n`].join('')
}

function toBlock({ severity, rule, what, why, change }: Finding): string {
  const lines = [`${what} (${rule})`, why, ...(change === undefined ? [] : toLines(change))]
  const [first = '', ...others] = lines
  const rest = others.flatMap((line) => line.split('\n')).map((line) => `${INDENT}${line}\n`)
  return `${severity.padEnd(WIDTH)}${first}\n${rest.join('')}\n`
}

const VERBS: Readonly<Record<Change['how'], string>> = {
  add: 'add',
  replace: 'write',
  remove: 'remove the line',
}

function toLines({ file, line, how, text }: Change): string[] {
  const written = text === '' ? [] : text.split('\n').map((one) => `  ${one}`)
  return [`${file}:${line}: ${VERBS[how]}${written.length === 0 ? '' : ':'}`, ...written]
}

function toCounts(findings: readonly Finding[]): string {
  const counts = (Object.keys(RANK) as Severity[]).map((severity) => {
    const count = findings.filter((finding) => finding.severity === severity).length
    return `${count} ${severity}${count === 1 ? '' : 's'}`
  })
  return `${counts.join(', ')}.`
}
