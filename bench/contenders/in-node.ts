import type { Contender } from '../harness/contender.ts'
import type { Comparison } from '../harness/report.ts'
import { newOperations, repeats, type Target } from '../harness/scenarios.ts'
import { inNode } from '../harness/start-node.ts'
import { hasRedis } from '../harness/start-redis.ts'

const GUARDED: Target = {
  what: 'guarded handler',
  path: '/payments',
  expects: /^HTTP\/1.1 201 /,
}
const REPLAYED = { ...GUARDED, what: 'replay' }
const PLAIN = { ...GUARDED, what: 'plain handler', path: '/plain' }

const onRedis = (['always', 'everysec'] as const).flatMap((appendfsync) => [
  inNode({
    name: `@node-idempotency/core, Redis ${appendfsync}`,
    entry: 'node-idempotency',
    appendfsync,
  }),
  inNode({ name: `Powertools, Redis ${appendfsync}`, entry: 'powertools', appendfsync }),
])
const inMemory = inNode({ name: 'express-idempotency, in memory', entry: 'express-idempotency' })

/** Each library before its plain handler, in the order in which they are measured. */
export function nodeComparisons(): Comparison[] {
  if (hasRedis()) return [inMemory, ...onRedis].flatMap(compare)
  const names = onRedis.map(({ name }) => name).join(', ')
  process.stderr.write(
    `Skipped, because there is no redis-server in PATH: ${names}.\n` +
      `On Debian: apt-get install redis-server\n`,
  )
  return compare(inMemory)
}

function compare(contender: Contender): Comparison[] {
  const plain = newOperations(contender, PLAIN)
  return [
    {
      figure: 'guard before a handler',
      of: newOperations(contender, GUARDED),
      against: plain,
    },
    {
      figure: 'replay before a handler',
      of: repeats(contender, GUARDED, REPLAYED),
      against: plain,
    },
  ]
}
