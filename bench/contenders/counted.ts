import type { Counted } from '../harness/operation-counts.ts'
import type { Target } from '../harness/scenarios.ts'
import { inWorkerd } from '../harness/start-workerd.ts'

const FLOOR = { entry: 'counted-floor', objects: { OPERATIONS: 'FloorObject' } }
const floor = inWorkerd({ ...FLOOR, name: 'floor per key' })
const floorSharded = inWorkerd({ ...FLOOR, name: 'floor in 2 objects', vars: { SHARDS: '2' } })

const SECRETS = { HAPAX_SEAL_KEY: 'seal key of the bench, 0123456789' }
const HAPAX = {
  entry: 'counted-gateway',
  objects: { OPERATIONS: 'IdempotencyObject', DIRECTORY: 'DirectoryObject' },
  vars: SECRETS,
  readyPath: '/_hapax/problems',
}
const hapax = inWorkerd({ ...HAPAX, name: 'Hapax per key' })
const hapaxSharded = inWorkerd({
  ...HAPAX,
  name: 'Hapax in 2 shards',
  vars: { ...SECRETS, SHARDS: '2' },
})
const IN_SHARDS = { operations: 300 }

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
  { contender: floorSharded, name: 'any', first: PAYMENT, replay: PAYMENT, ...IN_SHARDS },
  { contender: hapax, name: 'hold', ...onRoute('/payments') },
  { contender: hapax, name: 'probe', ...onRoute('/probed') },
  { contender: hapaxSharded, name: 'hold', ...onRoute('/payments'), ...IN_SHARDS },
  { contender: hapaxSharded, name: 'probe', ...onRoute('/probed'), ...IN_SHARDS },
]
