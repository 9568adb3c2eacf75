import { idNumber } from './id-number.ts'

/** The jurisdictions of the platform. Its own types for them differ from version to version. */
export type JurisdictionName = 'eu' | 'fedramp' | 'fedramp-high' | 'us'

/** The location hints of the platform. Its own types for them differ from version to version. */
export type LocationHint =
  | 'wnam'
  | 'enam'
  | 'sam'
  | 'weur'
  | 'eeur'
  | 'apac'
  | 'apac-ne'
  | 'apac-se'
  | 'oc'
  | 'afr'
  | 'me'

/** Where the operations of a deployment are kept. */
export type Placement = {
  /** Where they were kept before; asked first while it is set. */
  readonly previous: Placement | null
} & (
  | { readonly kind: 'per-key' }
  | {
      readonly kind: 'sharded'
      readonly count: number
      readonly locationHint: LocationHint | null
    }
)

/** Where a deployment keeps its objects. */
export interface DeployedPlacement {
  readonly placement: Placement
  /** `null`: anywhere. */
  readonly jurisdiction: JurisdictionName | null
}

/** Begins the names of objects that hold many operations. */
const SHARD = 'shard:'
/** Begins the names of objects that only make calls. They store nothing. */
const CALL = 'call:'
/** The first characters of an id choose its shard: 30 bits. */
const SHARD_CHARACTERS = 5

/** Names the object that guards an operation: its id, or a shard that follows from the id. */
export function objectNameOf(placement: Placement, operationId: string): string {
  if (placement.kind === 'per-key') return operationId
  const number = idNumber(operationId.slice(0, SHARD_CHARACTERS))
  return `${SHARD}${placement.count}:${number % placement.count}`
}

/** Whether an object holds many operations. An operation's id has no colon. */
export function isShard(objectName: string | undefined): boolean {
  return objectName?.startsWith(SHARD) ?? false
}

/** Names the object that makes the call of an operation whose client comes back for the result. */
export const callerNameOf = (operationId: string): string => CALL + operationId

/** Whether a deployment has shards, now or before: the Worker then calls the origin for some operations. */
export function hasShards({ kind, previous }: Placement): boolean {
  return kind === 'sharded' || previous?.kind === 'sharded'
}
