import { randomUUID } from 'node:crypto'

import type { Shot } from './connection.ts'
import type { Contender } from './contender.ts'
import type { Scenario } from './rounds.ts'

/** A kind of request: where it goes, and what its answer says. */
export interface Target {
  /** The request in a few words. */
  readonly what: string
  readonly path: string
  readonly expects: RegExp
}

/** So many keys are replayed: as many as there are connections, so that the lead-in wakes each. */
const REPLAYED_KEYS = 32

/** Each request is a new operation. */
export function newOperations(contender: Contender, { what, path, expects }: Target): Scenario {
  return {
    name: `${contender.name}: ${what}`,
    contender,
    next: () => ({ path, key: randomUUID(), expects }),
  }
}

/** So many requests in a row share a key: as many as there are connections. */
const JOINING = 32

/** All connections ask for the same operation at once, and then for the next. */
export function joins(contender: Contender, { what, path, expects }: Target): Scenario {
  let sent = 0
  let key = ''
  return {
    name: `${contender.name}: ${what}`,
    contender,
    next() {
      if (sent % JOINING === 0) key = randomUUID()
      sent += 1
      return { path, key, expects }
    },
  }
}

/** Each request repeats one of a few operations that are done. */
export function repeats(contender: Contender, first: Target, { what, expects }: Target): Scenario {
  const keys = Array.from({ length: REPLAYED_KEYS }, () => randomUUID())
  const shots: readonly Shot[] = keys.map((key) => ({ path: first.path, key, expects }))
  let sent = 0
  return {
    name: `${contender.name}: ${what}`,
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
