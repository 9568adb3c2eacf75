import type { JurisdictionName, LocationHint, Placement } from '../core/operation/placement.ts'

/** Options of shards. */
export interface ShardedOptions {
  /** Number of objects that share the operations, 1 to 4,096. */
  readonly count: number
  /**
   * Where the operations were kept before: another number of shards, or another placement. Set it when
   * you change the placement. `docs/placement.md` tells when you can remove it.
   */
  readonly previous?: number | Placement
  /** The region in which the shards are created. By default, each is created near its first client. */
  readonly locationHint?: LocationHint
}

/** Options of one object per key. */
export interface PerKeyOptions {
  /** Where the operations were kept before, as for `sharded`. */
  readonly previous?: Placement
}

/** The jurisdictions of the platform. */
const JURISDICTIONS: Readonly<Record<JurisdictionName, true>> = {
  eu: true,
  fedramp: true,
  'fedramp-high': true,
  us: true,
}

/** The location hints of the platform. */
const HINTS: Readonly<Record<LocationHint, true>> = {
  wnam: true,
  enam: true,
  sam: true,
  weur: true,
  eeur: true,
  apac: true,
  'apac-ne': true,
  'apac-se': true,
  oc: true,
  afr: true,
  me: true,
}

const MAX_SHARDS = 4_096

/** Placements that were made here, and so are valid. */
const made = new WeakSet<object>()

/**
 * Keeps each operation in an object of its own: the default. It isolates operations best.
 *
 * @throws {TypeError} When an option is invalid.
 * @example createGateway({ tenant, placement: perKey({ previous: sharded(16) }) })
 */
export function perKey({ previous }: PerKeyOptions = {}): Placement {
  return note({ kind: 'per-key', previous: toPrevious(previous) })
}

/**
 * Keeps many operations in each of a fixed number of objects. That is faster and cheaper, and the
 * Worker calls the origin itself. `docs/placement.md` tells when to use it and how to change the number.
 *
 * @param options The number of shards, or all options.
 * @throws {TypeError} When an option is invalid.
 * @example createGateway({ tenant, placement: sharded(16) })
 */
export function sharded(options: number | ShardedOptions): Placement {
  const { count, previous, locationHint } =
    typeof options === 'number' ? { count: options } : options
  if (!isCount(count)) throw new TypeError(`sharded() needs a number from 1 to ${MAX_SHARDS}.`)
  requireHint(locationHint)
  const before = toPrevious(typeof previous === 'number' ? sharded(previous) : previous)
  if (before?.kind === 'sharded' && before.count === count) {
    throw new TypeError('previous must be another number of shards, or another placement.')
  }
  return note({ kind: 'sharded', count, locationHint: locationHint ?? null, previous: before })
}

function requireHint(hint: LocationHint | undefined): void {
  if (hint === undefined || Object.hasOwn(HINTS, hint)) return
  throw new TypeError(`locationHint must be one of ${Object.keys(HINTS).join(', ')}.`)
}

const isCount = (count: unknown): count is number =>
  Number.isInteger(count) && Number(count) >= 1 && Number(count) <= MAX_SHARDS

function note(placement: Placement): Placement {
  made.add(placement)
  return Object.freeze(placement)
}

function toPrevious(previous: Placement | undefined): Placement | null {
  if (previous === undefined) return null
  requirePlacement('previous', previous)
  if (previous.previous !== null) throw new TypeError('previous cannot have a previous of its own.')
  return previous
}

function requirePlacement(name: string, placement: Placement): void {
  if (made.has(placement)) return
  throw new TypeError(`${name} must be perKey() or sharded(16), for example.`)
}

/** Where a deployment keeps its objects. */
export interface PlacementOptions {
  /**
   * How operations are spread over objects: `perKey()`, which is the default, or `sharded(16)`. It is
   * the same for all gateways of a Worker.
   */
  readonly placement?: Placement
  /**
   * The jurisdiction in which all objects run and store, such as `eu`. An object cannot be moved: with
   * another jurisdiction, no earlier operation is found.
   */
  readonly jurisdiction?: JurisdictionName
}

/** @throws {TypeError} When an option is invalid. */
export function checkPlacement({ placement, jurisdiction }: PlacementOptions): void {
  if (placement !== undefined) requirePlacement('placement', placement)
  if (jurisdiction !== undefined && !Object.hasOwn(JURISDICTIONS, jurisdiction)) {
    const known = Object.keys(JURISDICTIONS).join(', ')
    throw new TypeError(`jurisdiction must be one of ${known}.`)
  }
}
