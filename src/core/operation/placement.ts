/** Where the operations of a deployment are kept. */
export type Placement = {
  /** Where they were kept before; asked first while it is set. */
  readonly previous: Placement | null
} & (
  | { readonly kind: 'per-key' }
  | {
      readonly kind: 'sharded'
      readonly count: number
      readonly locationHint: DurableObjectLocationHint | null
    }
)

/** Where a deployment keeps its objects. */
export interface DeployedPlacement {
  readonly placement: Placement
  /** `null`: anywhere. */
  readonly jurisdiction: DurableObjectJurisdiction | null
}

/** Begins the names of objects that hold many operations. */
const SHARD = 'shard:'
/** Begins the names of objects that only make calls. They store nothing. */
const CALL = 'call:'

/** Names the object that guards an operation: its id, or a shard that follows from the id. */
export function objectNameOf(placement: Placement, operationId: string): string {
  if (placement.kind === 'per-key') return operationId
  return `${SHARD}${placement.count}:${numberOf(operationId) % placement.count}`
}

/** Whether an object holds many operations. An operation's id has no colon. */
export function isShard(objectName: string | undefined): boolean {
  return objectName?.startsWith(SHARD) ?? false
}

/** Names the object that makes the call of an operation whose client comes back for the result. */
export const callerNameOf = (operationId: string): string => CALL + operationId

/** Whether the Worker, and not the object, calls the origin for some operations. */
export function hasShards({ kind, previous }: Placement): boolean {
  return kind === 'sharded' || previous?.kind === 'sharded'
}

/** Characters of base64url, by their value (RFC 4648 §5). */
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const NUMBER_LENGTH = 5

/** The first 30 bits of an id, which is a digest in base64url. */
function numberOf(operationId: string): number {
  const digits = Array.from(operationId.slice(0, NUMBER_LENGTH), (one) => BASE64URL.indexOf(one))
  return digits.reduce((number, digit) => number * BASE64URL.length + Math.max(0, digit), 0)
}
