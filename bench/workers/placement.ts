import { env } from 'cloudflare:workers'

import { perKey, type Placement, sharded } from '../../src/hapax.ts'

/** The variable `SHARDS`: in how many objects the operations are. Without it, each has its own. */
const shards: unknown = Reflect.get(env, 'SHARDS')

/** The placement that a contender is started with. */
export const placement: Placement = typeof shards === 'string' ? sharded(Number(shards)) : perKey()
