import type { Comparison } from '../harness/report.ts'
import type { Scenario } from '../harness/rounds.ts'
import { joins, newOperations, repeats, type Target } from '../harness/scenarios.ts'
import { inWorkerd } from '../harness/start-workerd.ts'

const PAYMENT: Target = {
  what: 'new operation',
  path: '/payments',
  expects: /^HTTP\/1.1 201 /,
}
const REPEATED = { ...PAYMENT, what: 'replay' }
const EXECUTED = { ...PAYMENT, expects: /idempotency-status: executed/i }
const REPLAYED = { ...REPEATED, expects: /idempotency-status: replayed/i }
const HANDLED = { ...EXECUTED, what: 'guarded handler', path: '/handled' }
const PLAIN_HANDLER = { ...PAYMENT, what: 'plain handler', path: '/plain' }
const UNPROTECTED = { ...PAYMENT, what: 'pass-through', path: '/unprotected' }
const SLOW = { ...PAYMENT, what: 'joined duplicate', path: '/slow-payments' }

const proxy = inWorkerd({ name: 'plain proxy', entry: 'plain-proxy' })

const FLOOR = { entry: 'floor', objects: { OPERATIONS: 'FloorObject' } }
const floor = inWorkerd({ ...FLOOR, name: 'floor per key' })

const floorSharded = inWorkerd({
  ...FLOOR,
  name: 'floor in 8 objects',
  vars: { SHARDS: '8' },
})
const memory = inWorkerd({
  name: 'object without storage',
  entry: 'without-storage',
  objects: { OPERATIONS: 'MemoryObject' },
})

const HAPAX = {
  objects: { OPERATIONS: 'IdempotencyObject', DIRECTORY: 'DirectoryObject' },
  // As a deployment has them: values of this bench alone.
  vars: {
    HAPAX_DIGEST_KEY: 'digest key of the bench, 0123456789',
    HAPAX_SEAL_KEY: 'seal key of the bench, 0123456789',
  },
  readyPath: '/_hapax/problems',
}
const hapax = inWorkerd({ ...HAPAX, name: 'Hapax per key', entry: 'gateway' })

const hapaxSharded = inWorkerd({
  ...HAPAX,
  name: 'Hapax in 8 shards',
  entry: 'gateway',
  vars: { ...HAPAX.vars, SHARDS: '8' },
})

const floorNew = newOperations(floor, PAYMENT)
const floorShardedNew = newOperations(floorSharded, PAYMENT)
const hapaxNew = newOperations(hapax, EXECUTED)
const hapaxShardedNew = newOperations(hapaxSharded, EXECUTED)
const hapaxReplay = repeats(hapax, EXECUTED, REPLAYED)
const hapaxHandled = newOperations(hapax, HANDLED)

/** What is compared in workerd, in the order in which it is measured. */
export const workerdComparisons: readonly Comparison[] = [
  { figure: 'new operation', of: hapaxNew, against: floorNew },
  { figure: 'new, by a handler', of: hapaxHandled, against: floorNew },
  { figure: 'new operation, sharded', of: hapaxShardedNew, against: floorShardedNew },
  { figure: 'sharded against per key', of: hapaxShardedNew, against: hapaxNew },
  { figure: 'sharded against per key', of: floorShardedNew, against: floorNew },
  { figure: 'replay', of: hapaxReplay, against: repeats(floor, PAYMENT, REPEATED) },
  { figure: 'replay', of: hapaxReplay, against: repeats(memory, PAYMENT, REPEATED) },
  {
    figure: 'replay, sharded',
    of: repeats(hapaxSharded, EXECUTED, REPLAYED),
    against: repeats(floorSharded, PAYMENT, REPEATED),
  },
  { figure: 'joined duplicate', of: joins(hapax, SLOW), against: joins(floor, SLOW) },
  {
    figure: 'pass-through',
    of: newOperations(hapax, UNPROTECTED),
    against: newOperations(proxy, UNPROTECTED),
  },
  {
    figure: 'guard before a handler',
    of: hapaxHandled,
    against: newOperations(hapax, PLAIN_HANDLER),
  },
]

/** Whose start-up and memory is measured, with new operations. */
export const measuredFootprints: readonly Scenario[] = [
  newOperations(proxy, UNPROTECTED),
  floorNew,
  floorShardedNew,
  hapaxNew,
  hapaxShardedNew,
]
