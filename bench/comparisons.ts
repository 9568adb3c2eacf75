import type { Contender } from './harness/contender.ts'
import type { Comparison } from './harness/report.ts'
import { newOperations, repeats, type Target } from './harness/scenarios.ts'
import { inWorkerd } from './harness/start-workerd.ts'

const PAYMENT: Target = { path: '/payments', expects: /^HTTP\/1.1 201 / }
const EXECUTED = { ...PAYMENT, expects: /idempotency-status: executed/i }
const REPLAYED = { ...PAYMENT, expects: /idempotency-status: replayed/i }
const HANDLED = { ...EXECUTED, path: '/handled' }
const UNPROTECTED = { ...PAYMENT, path: '/unprotected' }

const OBJECTS = { OPERATIONS: 'IdempotencyObject', DIRECTORY: 'DirectoryObject' }
/** As a deployment has them: values of this bench alone. */
const SECRETS = {
  HAPAX_DIGEST_KEY: 'digest key of the bench, 0123456789',
  HAPAX_SEAL_KEY: 'seal key of the bench, 0123456789',
}

const proxy = inWorkerd({ name: 'plain proxy', entry: 'plain-proxy' })
const floor = inWorkerd({
  name: 'floor per key',
  entry: 'floor',
  objects: { OPERATIONS: 'FloorObject' },
})
const memory = inWorkerd({
  name: 'object without storage',
  entry: 'without-storage',
  objects: { OPERATIONS: 'MemoryObject' },
})
const hapax = inWorkerd({
  name: 'Hapax per key',
  entry: 'gateway',
  objects: OBJECTS,
  vars: SECRETS,
  readyPath: '/_hapax/problems',
})

const floorNew = newOperations(floor, PAYMENT)
const hapaxReplay = repeats(hapax, EXECUTED, REPLAYED)

/** What is compared, in the order in which it is measured. */
export const comparisons: readonly Comparison[] = [
  { figure: 'new operation', of: newOperations(hapax, EXECUTED), against: floorNew },
  { figure: 'handler in the Worker', of: newOperations(hapax, HANDLED), against: floorNew },
  { figure: 'replay', of: hapaxReplay, against: repeats(floor, PAYMENT, PAYMENT) },
  { figure: 'replay', of: hapaxReplay, against: repeats(memory, PAYMENT, PAYMENT) },
  {
    figure: 'pass-through',
    of: newOperations(hapax, UNPROTECTED),
    against: newOperations(proxy, UNPROTECTED),
  },
]

/** All that take part in some comparisons, each once. */
export function contendersOf(compared: readonly Comparison[]): ReadonlySet<Contender> {
  return new Set(compared.flatMap(({ of, against }) => [against.contender, of.contender]))
}
