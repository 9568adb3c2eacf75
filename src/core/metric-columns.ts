import type { RequestFacts } from './request-facts.ts'

/**
 * The column of each fact in a point of Analytics Engine. Stored points are read by these numbers:
 * append a column, and never give its number to another fact.
 */
export const column = {
  operation: 'blob1',
  method: 'blob2',
  status: 'blob3',
  problem: 'blob4',
  outcome: 'blob5',
  tenant: 'blob6',
  correlationId: 'blob7',
  operationId: 'blob8',
  settle: 'blob9',
  wouldBe: 'blob10',
  keySource: 'blob11',
  disposition: 'blob12',
  traceId: 'blob13',
  origin: 'blob14',
  layout: 'double1',
  httpStatus: 'double2',
  fence: 'double3',
  totalMs: 'double4',
  claimMs: 'double5',
  originMs: 'double6',
  waitedMs: 'double7',
  ageMs: 'double8',
  requestBytes: 'double9',
  originCalls: 'double10',
} as const satisfies {
  readonly [fact in keyof PointFacts]: PointFacts[fact] extends number
    ? `double${number}`
    : `blob${number}`
}

/** The column by which the platform samples: the tenant again, so that a loud one does not hide a quiet one. */
export const TENANT_INDEX = 'index1'

/** Value of `column.layout`. Increase it when a column changes its meaning; queries read one layout. */
export const LAYOUT = 1

/** The facts of a request, and the layout of the columns that they stand in. */
export type PointFacts = RequestFacts & { readonly layout: number }

type Column = typeof column

/** Names of the columns of a kind. */
type NameOf<kind extends 'blob' | 'double'> = {
  [name in keyof Column]: Column[name] extends `${kind}${number}` ? name : never
}[keyof Column]

/** Name of a column of text. */
export type TextName = NameOf<'blob'>

/** Name of a column of numbers. */
export type NumberName = NameOf<'double'>

/** Lists the names of a kind of columns, in the order of their numbers. */
export function columnsOf<kind extends 'blob' | 'double'>(kind: kind): NameOf<kind>[] {
  const names = Object.keys(column) as (keyof Column)[]
  return names.filter((name): name is NameOf<kind> => column[name].startsWith(kind))
}
