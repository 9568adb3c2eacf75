import { randomUUID } from 'node:crypto'

import type { Shot } from './connection.ts'
import type { Contender } from './contender.ts'
import type { Scenario } from './rounds.ts'

/** A kind of request: where it goes, and what its answer says. */
export interface Target {
  readonly path: string
  readonly expects: RegExp
}

/** So many keys are replayed: as many as there are connections, so that the lead-in wakes each. */
const REPLAYED_KEYS = 32

/** Each request is a new operation. */
export function newOperations(contender: Contender, { path, expects }: Target): Scenario {
  return {
    name: `${contender.name}: new operation`,
    contender,
    next: () => ({ path, key: randomUUID(), expects }),
  }
}

/** Each request repeats one of a few operations that are done. */
export function repeats(contender: Contender, first: Target, { expects }: Target): Scenario {
  const keys = Array.from({ length: REPLAYED_KEYS }, () => randomUUID())
  const shots: readonly Shot[] = keys.map((key) => ({ path: first.path, key, expects }))
  let sent = 0
  return {
    name: `${contender.name}: repeat`,
    contender,
    prepare: shots.map((shot) => ({ ...shot, expects: first.expects })),
    next() {
      sent += 1
      const shot = shots[sent % shots.length]
      if (shot === undefined) throw new Error('There is a shot for every key.')
      return shot
    },
  }
}
