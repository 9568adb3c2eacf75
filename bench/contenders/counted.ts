import type { Counted } from '../harness/operation-counts.ts'
import type { Target } from '../harness/scenarios.ts'
import { inWorkerd } from '../harness/start-workerd.ts'

const floor = inWorkerd({
  name: 'floor per key',
  entry: 'counted-floor',
  objects: { OPERATIONS: 'FloorObject' },
})
const hapax = inWorkerd({
  name: 'Hapax per key',
  entry: 'counted-gateway',
  objects: { OPERATIONS: 'IdempotencyObject', DIRECTORY: 'DirectoryObject' },
  vars: { HAPAX_SEAL_KEY: 'seal key of the bench, 0123456789' },
  readyPath: '/_hapax/problems',
})

const target = (path: string, status: string): Target => ({
  what: status,
  path,
  expects: new RegExp(`idempotency-status: ${status}`, 'i'),
})
const onRoute = (path: string) => ({
  first: target(path, 'executed'),
  replay: target(path, 'replayed'),
  mismatch: target(path, 'mismatch'),
})
const PAYMENT: Target = { what: 'any', path: '/payments', expects: /^HTTP\/1.1 201 / }

/** What is counted at the storage. */
export const counted: readonly Counted[] = [
  { contender: floor, name: 'any', first: PAYMENT, replay: PAYMENT },
  { contender: hapax, name: 'hold', ...onRoute('/payments') },
  { contender: hapax, name: 'probe', ...onRoute('/probed') },
]
