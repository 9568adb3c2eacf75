import fc from 'fast-check'

import { ASKING, type Asking, LEASE_MS, SHORT_MS, type Step, World } from './world.ts'

const { retentionMs: RETENTION_MS, tombstoneMs: TOMBSTONE_MS } = ASKING

/** A time after which everything of a key is over that is ever over, once its call is. */
export const LIFETIME_MS = RETENTION_MS + TOMBSTONE_MS

/** Mostly the first, now and then another. */
const mostly = <value>(first: value, ...others: readonly value[]) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(first) }, fc.constantFrom(first, ...others))

const call = fc.nat(9)

const POLICIES = ['hold', 'probe', 'resend'] as const

/** A route has a policy; now and then a new deployment of it has another. */
const askingUnder = (policy: Asking['unknown'], isDurable: boolean) =>
  fc.record({
    payload: mostly(ASKING.payload, ASKING.payload, 'b'),
    unknown: fc.oneof(
      { weight: 9, arbitrary: fc.constant(policy) },
      { weight: 1, arbitrary: fc.constantFrom(...POLICIES) },
    ),
    isDurable: mostly(isDurable, !isDurable),
    isAccepted: mostly(isDurable, !isDurable),
    by: fc.constantFrom('object', 'object', 'worker'),
    retentionMs: fc.constantFrom(RETENTION_MS, 1_000),
    tombstoneMs: fc.constantFrom(TOMBSTONE_MS, 0),
  }) satisfies fc.Arbitrary<Asking>

/** Lengths at which something ends, and a little of everything in between. */
const ms = fc.oneof(
  fc.constantFrom(
    1,
    SHORT_MS,
    999,
    1_000,
    LEASE_MS - 1,
    LEASE_MS,
    5_000,
    RETENTION_MS,
    LIFETIME_MS,
  ),
  fc.nat(6_000),
)

const ending = fc.constantFrom(
  '201',
  '201-short',
  '422',
  '500',
  '500-executed',
  '503',
  '500-nothing',
  'timeout',
  'lost',
  'not-sent',
)

const of = <name extends Step['do']>(name: name) => fc.record({ do: fc.constant(name), call })

/** The origin is away, and no other call is made for now. */
const away = call.map((each) => {
  const how = { ending: '503', executes: false, storageFails: false, retries: false } as const
  return { do: 'land', call: each, ...how } as const
})

const stepOf = (asking: fc.Arbitrary<Asking>): fc.Arbitrary<Step> =>
  fc.oneof(
    { weight: 14, arbitrary: asking.map((a) => ({ do: 'ask', ...a }) as const) },
    { weight: 2, arbitrary: of('ask-again') },
    { weight: 3, arbitrary: of('execute') },
    {
      weight: 12,
      arbitrary: fc.record({
        do: fc.constant('land'),
        call,
        ending,
        executes: fc.boolean(),
        storageFails: mostly(false, true),
        retries: mostly(true, false),
      }),
    },
    { weight: 3, arbitrary: away },
    { weight: 5, arbitrary: of('go-on') },
    {
      weight: 8,
      arbitrary: fc.record({ do: fc.constant('answer'), call, isAway: mostly(false, false, true) }),
    },
    { weight: 2, arbitrary: of('settle-again') },
    { weight: 2, arbitrary: fc.constant({ do: 'settle-unstored' }) },
    { weight: 5, arbitrary: of('renew') },
    { weight: 5, arbitrary: of('stream') },
    { weight: 2, arbitrary: of('worker-dies') },
    { weight: 5, arbitrary: fc.constant({ do: 'object-dies' }) },
    {
      weight: 10,
      arbitrary: fc.record({
        do: fc.constant('alarm'),
        times: mostly(1, 2),
        isEarly: mostly(true, false),
        isSlow: mostly(false, true),
      }),
    },
    { weight: 2, arbitrary: fc.constant({ do: 'recover' }) },
    { weight: 8, arbitrary: fc.record({ do: fc.constant('pass'), ms }) },
  )

/** Policies of a route; those of which most can be told twice. */
const ROUTES = [
  { policy: 'hold', isDurable: false },
  { policy: 'hold', isDurable: true },
  { policy: 'hold', isDurable: true },
  { policy: 'probe', isDurable: false },
  { policy: 'probe', isDurable: true },
  { policy: 'probe', isDurable: true },
  { policy: 'probe', isDurable: true },
  { policy: 'resend', isDurable: false },
  { policy: 'resend', isDurable: true },
] as const

/** Anything that can happen to one key, in any order. */
export const history: fc.Arbitrary<readonly Step[]> = fc.noBias(
  fc.oneof(
    ...ROUTES.map(({ policy, isDurable }) =>
      fc.array(stepOf(askingUnder(policy, isDurable)), { maxLength: 50, size: 'max' }),
    ),
  ),
)

/** Lets a history happen. */
export function live(steps: readonly Step[]): World {
  const world = new World()
  for (const each of steps) world.do(each)
  return world
}
