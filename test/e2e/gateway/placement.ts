import { env } from 'cloudflare:workers'

import { type GatewayOptions, perKey, sharded } from '../../../src/hapax.ts'

/** The placement of a gateway of the tests, as JSON in its variable `PLACEMENT`; by default one object for each key. */
interface Said {
  /** Number of shards; none: one object for each key. */
  readonly count?: number
  readonly previous?: Said
}

const said: unknown = Reflect.get(env, 'PLACEMENT')
const placement = typeof said === 'string' ? (JSON.parse(said) as Said) : null

/** What a gateway of the tests tells of its placement. */
export const placed: Pick<GatewayOptions, 'placement'> =
  placement === null ? {} : { placement: toPlacement(placement) }

/** In shards, an operation that was lost with its Worker is known as such when its lease is over. */
export const soonOrphaned = placement?.count === undefined ? {} : { lease: '3s' as const }

function toPlacement({ count, previous }: Said): NonNullable<GatewayOptions['placement']> {
  const before = previous && { previous: toPlacement(previous) }
  return count === undefined ? perKey(before) : sharded({ count, ...before })
}
