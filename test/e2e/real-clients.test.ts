import { fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type FirstCall, type Operation, scriptApi } from './real-clients/api.ts'
import { CLIENTS, type RealClient } from './real-clients/clients.ts'
import type { Doomed } from './real-clients/doomed.ts'
import { type Link, openLink } from './real-clients/link.ts'
import type { Account } from './sdk-gateway/account.ts'
import { type Gateway, type Origin, startGateway, startOrigin } from './server.ts'

/** A call as it ended for who made it. */
type Ended = { readonly id: string } | { readonly error: unknown }

/** What an error says, by its kind. Any but `lost` is of the client's own class. */
const SAYS = {
  lost: /fetch failed|ECONNRESET|could not be resolved/,
  refused: /Try again later/,
  unknown: /The connection to the origin was lost/,
  running: /The first request with this key has been running/,
  reused: /This key was used for another request/,
}

/** How a call ends: with the result of the one execution, or with an error. */
type End = 'result' | keyof typeof SAYS

/** One client in one scenario. */
interface Play {
  readonly client: RealClient
  readonly operation: Operation
  readonly link: Link
  readonly doomed: Doomed
  /** Makes the call with a new client. @param note Of another payload. */
  send(note?: string): Promise<Ended>
}

/** What is seen of a scenario from outside. */
interface Seen {
  /** Of each call, in the order in which they were made. */
  readonly ends: readonly End[]
  /** Calls that arrived at the API, and how many of them it executed. */
  readonly calls: number
  readonly effects: number
  /** Status and `Idempotency-Status` of each answer of the gateway, in order of their text. */
  readonly answers: readonly string[]
}

interface Scenario {
  /** Goes on "a call". */
  readonly name: string
  readonly account: Account
  readonly first: FirstCall
  readonly lostAnswers?: number
  /** Done once, for all clients. */
  prepare?(plays: readonly Play[]): Promise<void>
  run(play: Play): Promise<readonly Ended[]>
  seenBy(tries: RealClient['tries']): Seen
}

/** Calls, and calls again with the same key if that has failed. */
async function callAgain({ send }: Play): Promise<readonly Ended[]> {
  const first = await send()
  return 'id' in first ? [first] : [first, await send()]
}

/** A duplicate that comes while the first call runs. */
async function duplicate({ operation, link, send }: Play): Promise<Ended> {
  await operation.arrival.promise
  const second = send()
  await link.sent(2)
  // What was sent before has arrived as well.
  await fetch(`${gateway.url}/_hapax/problems`)
  operation.release.resolve()
  return second
}

/** Lets a process make the calls, and kills it when all of them have arrived at the API. */
async function sendAndDie(plays: readonly Play[]): Promise<void> {
  const child = fork(path.join(import.meta.dirname, 'real-clients/doomed.ts'), { execArgv: [] })
  const closed = once(child, 'close')
  child.send(plays.map(({ doomed }) => doomed))
  const arrivals = Promise.all(plays.map(({ operation }) => operation.arrival.promise))
  const early = closed.then(() => Promise.reject(new Error('The process ended by itself')))
  await Promise.race([arrivals, early])
  child.kill('SIGKILL')
  await closed
}

const ONCE = { calls: 1, effects: 1 }
const TWICE = { calls: 2, effects: 1 }
const EXECUTED = '200 executed'
const REPLAYED = '200 replayed'
const HELD = '409 unknown'
const REFUSED = '503 not-executed'

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'whose answer is lost between the gateway and the client',
    account: 'default',
    first: 'answered',
    lostAnswers: 1,
    run: callAgain,
    seenBy: ({ lost }) => ({
      ...ONCE,
      ends: lost ? ['result'] : ['lost', 'result'],
      answers: [EXECUTED, REPLAYED],
    }),
  },
  {
    name: 'whose answer is lost at the origin, on a route that holds',
    account: 'default',
    first: 'lost',
    run: callAgain,
    seenBy: ({ serverError }) => ({
      ...ONCE,
      ends: ['unknown', 'unknown'],
      answers: [...(serverError === 'always' ? [HELD, HELD] : [HELD]), '502 unknown'],
    }),
  },
  {
    name: 'whose answer is lost at the origin, on a route that probes',
    account: 'probing',
    first: 'lost',
    run: callAgain,
    seenBy: ({ serverError }) => ({
      ...ONCE,
      ends: serverError === 'never' ? ['unknown', 'result'] : ['result'],
      answers: [REPLAYED, '502 unknown'],
    }),
  },
  {
    name: 'whose answer is lost at the origin, on a route that sends again',
    account: 'retrying',
    first: 'lost',
    run: callAgain,
    seenBy: () => ({ ...TWICE, ends: ['result'], answers: [EXECUTED] }),
  },
  {
    name: 'that the origin answers with 503 at first',
    account: 'default',
    first: 'refused',
    run: callAgain,
    seenBy: ({ serverError }) => ({
      ...TWICE,
      ends: serverError === 'never' ? ['refused', 'result'] : ['result'],
      answers: [EXECUTED, REFUSED],
    }),
  },
  {
    name: 'that the origin answers with 503 at first, on a route with retries',
    account: 'retrying',
    first: 'refused',
    run: callAgain,
    seenBy: () => ({ ...TWICE, ends: ['result'], answers: [EXECUTED] }),
  },
  {
    name: 'that the origin answers with 503 whenever it comes',
    account: 'default',
    first: 'down',
    run: async ({ send }) => [await send()],
    seenBy: ({ serverError, most }) => {
      const calls = serverError === 'never' ? 1 : most
      const answers = Array.from({ length: calls }, () => REFUSED)
      return { calls, effects: 0, ends: ['refused'], answers }
    },
  },
  {
    name: 'with a duplicate while it runs',
    account: 'default',
    first: 'slow',
    run: (play) => Promise.all([play.send(), duplicate(play)]),
    seenBy: () => ({ ...ONCE, ends: ['result', 'result'], answers: [EXECUTED, REPLAYED] }),
  },
  {
    name: 'with a duplicate while it runs, on a route without wait',
    account: 'impatient',
    first: 'slow',
    async run(play) {
      const { operation, link, send } = play
      const first = send()
      await operation.arrival.promise
      const second = send()
      await link.answered(1)
      operation.release.resolve()
      const ends = await Promise.all([first, second])
      return 'id' in ends[1] ? ends : [...ends, await send()]
    },
    seenBy: ({ conflict }) => ({
      ...ONCE,
      ends: conflict ? ['result', 'result'] : ['result', 'running', 'result'],
      answers: [EXECUTED, REPLAYED, '409 in-progress'],
    }),
  },
  {
    name: 'whose process is killed while it runs, and that is made again',
    account: 'default',
    first: 'slow',
    prepare: sendAndDie,
    run: async (play) => [await duplicate(play)],
    seenBy: () => ({ ...ONCE, ends: ['result'], answers: [REPLAYED] }),
  },
  {
    name: 'whose key was used for another payload',
    account: 'default',
    first: 'answered',
    run: async ({ operation, send }) => [await send(), await send(`${operation.mark} or not`)],
    seenBy: () => ({ ...ONCE, ends: ['result', 'reused'], answers: [EXECUTED, '409 mismatch'] }),
  },
]

let origin: Origin
let gateway: Gateway
/** By the order of the clients. */
const seen = new Map<Scenario, readonly Promise<Seen>[]>()

beforeAll(async () => {
  origin = await startOrigin()
  const config = path.join(import.meta.dirname, 'sdk-gateway/wrangler.toml')
  gateway = await startGateway({ origin, config })
  const open = scriptApi(origin)
  // All at once: they mostly wait, each client as long as it thinks right.
  for (const scenario of SCENARIOS) {
    const { account, first } = scenario
    const plays = CLIENTS.map((client) =>
      openPlay(scenario, open({ client, first, isIdempotent: account === 'retrying' })),
    )
    const prepared = Promise.all(plays).then((all) => scenario.prepare?.(all))
    const run = async (opening: Promise<Play>) => {
      const play = await opening
      await prepared
      return see(play, await scenario.run(play))
    }
    seen.set(scenario, plays.map(run))
  }
})

afterAll(async () => {
  await gateway.stop()
  await origin.close()
})

async function openPlay({ account, lostAnswers = 0 }: Scenario, operation: Operation) {
  const { client, mark } = operation
  const link = await openLink(gateway.url, lostAnswers)
  const target = { url: link.url, apiKey: `${account}-${mark}` }
  const call = { key: `key-of-${mark}`, note: mark }
  return {
    client,
    operation,
    link,
    doomed: { client: client.name, target, call },
    send: (note = call.note): Promise<Ended> =>
      client
        .connect(target)({ ...call, note })
        .then(
          (id) => ({ id }),
          (error: unknown) => ({ error }),
        ),
  }
}

/** Describes what has happened. An end that is none of the known ones is described in its own words. */
async function see({ client, operation, link }: Play, ended: readonly Ended[]): Promise<Seen> {
  const endOf = async (end: Ended) => {
    if ('id' in end) return operation.effects.includes(end.id) ? 'result' : `the result ${end.id}`
    const isTyped = end.error instanceof client.Failure
    const said = `${String(end.error)} ${JSON.stringify(isTyped && (await client.why?.(end.error)))}`
    const known = Object.entries(SAYS).find(([name, says]) => {
      return says.test(said) && (isTyped || name === 'lost')
    })
    return known?.[0] ?? said
  }
  const ends = await Promise.all(ended.map(endOf))
  await link.close()
  return {
    ends: ends as End[],
    calls: operation.calls,
    effects: operation.effects.length,
    answers: link.answers.map(toWords).toSorted(),
  }
}

/** Status and `Idempotency-Status`. Who comes just after the answer may still have joined. */
function toWords(head: string): string {
  const [, status] = /^HTTP\/1\.1 (\d+)/.exec(head) ?? []
  const [, word] = /^idempotency-status: (\S+)/im.exec(head) ?? []
  return `${status} ${word === 'joined' ? 'replayed' : word}`
}

describe.each(SCENARIOS)('a call $name', (scenario) => {
  it.each(CLIENTS)('ends with $name as documented', async (client) => {
    const found = await seen.get(scenario)?.[CLIENTS.indexOf(client)]
    expect(found).toEqual(scenario.seenBy(client.tries))
  })
})
