import { afterEach, describe, expect, it } from 'vitest'

import { type Answer, headerOf, send } from '../../demo/client.ts'
import { type BareGateway, startBareGateway } from './bare.ts'
import { json, type Origin, startOrigin } from './server.ts'

/** Changes of the placement, as `gateway/placement.ts` reads them. */
const CHANGES = [
  { name: 'more shards', before: { count: 2 }, after: { count: 3, previous: { count: 2 } } },
  { name: 'one object per key to shards', before: {}, after: { count: 2, previous: {} } },
  { name: 'shards to one object per key', before: { count: 2 }, after: { previous: { count: 2 } } },
]
const toVars = (placement: object) => ({ PLACEMENT: JSON.stringify(placement) })

let origin: Origin
let gateway: BareGateway

afterEach(async () => {
  await gateway.stop()
  await origin.close()
})

/** Starts a gateway, and one beside it with the same objects. */
async function start(before: object, after: object): Promise<void> {
  origin = await startOrigin()
  gateway = await startBareGateway({ origin, vars: toVars(before), beside: toVars(after) })
}

const keysOf = (name: string, count: number) =>
  Array.from({ length: count }, (_, nth) => `/hold/${name}-${nth}`)

/** Sends the operation of a path. */
const ask = (where: string, url = gateway.url) =>
  send(url, { path: where, key: where, body: '{"amount":1}' })

/** Sends it until there is an answer: a connection is lost where the gateway is killed. */
async function askUntilAnswered(where: string): Promise<Answer> {
  for (;;) {
    const answer = await ask(where)
    if (answer.kind === 'answered') return answer
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const word = (answer: Answer) => headerOf(answer, 'Idempotency-Status')
const bodyOf = (answer: Answer) => (answer.kind === 'answered' ? answer.body : answer.kind)

describe.each(CHANGES)('from $name', ({ before, after }) => {
  it('executes each operation once while both configurations run', async () => {
    await start(before, after)
    let calls = 0
    const scripted = (_: unknown, nth: number) => json(201, { nth, call: (calls += 1) })
    const keys = keysOf('both', 40)
    for (const where of keys) origin.on(where, scripted)
    const urls = [gateway.url, gateway.besideUrl, gateway.besideUrl, gateway.url]
    const first = await Promise.all(
      keys.map((where, nth) => {
        // Either of them comes first.
        const ordered = nth % 2 === 0 ? urls : urls.toReversed()
        return Promise.all(ordered.map((url) => ask(where, url)))
      }),
    )
    const again = await Promise.all(keys.flatMap((where) => urls.map((url) => ask(where, url))))
    expect(new Set(again.map(word))).toEqual(new Set(['replayed']))
    for (const [nth, where] of keys.entries()) {
      const bodies = new Set(first[nth]?.map(bodyOf))
      expect([...bodies]).toEqual([expect.stringContaining('"nth":1')])
      expect(origin.requestsTo(where)).toHaveLength(1)
      const id = String(origin.requestsTo(where)[0]?.headers['idempotency-key'])
      for (const url of new Set(urls)) {
        const shown = await send(url, { path: `/_hapax/operations/${id}`, method: 'GET' })
        expect(bodyOf(shown)).toContain('"state":"succeeded"')
      }
    }
  })

  it('loses nothing and doubles nothing where it is changed under load', async () => {
    await start(before, before)
    const keys = keysOf('load', 60)
    for (const where of keys) origin.on(where, (_, nth) => json(201, { nth, where }))
    const answers = new Map<string, Answer>()
    const rest = keys.values()
    const client = async () => {
      for (const where of rest) answers.set(where, await askUntilAnswered(where))
    }
    const load = Promise.all(Array.from({ length: 6 }, client))
    await expect.poll(() => answers.size, { interval: 5 }).toBeGreaterThan(20)
    await gateway.redeploy(toVars(after))
    await load
    for (const where of keys) {
      const told = answers.get(where)
      const retry = await ask(where)
      // Who was answered gets the same again; what was lost with its caller is held.
      const isHeld = told !== undefined && word(told) === 'unknown'
      const expected = told === undefined || isHeld ? bodyOf(retry) : bodyOf(told)
      const found = { where, word: word(retry), body: bodyOf(retry) }
      expect(found).toEqual({ where, word: isHeld ? 'unknown' : 'replayed', body: expected })
      const calls = origin.requestsTo(where).length
      // What was killed between its claim and its call is held too, and the origin has not seen it.
      expect(isHeld && calls === 0 ? 1 : calls).toBe(1)
    }
  })
})

describe('a shard', () => {
  it('goes on while the origin does not answer: neither its calls nor its recoveries hold it up', async () => {
    await start({ count: 1 }, { count: 1 })
    const lost = keysOf('lost', 8).map((where) => where.replace('/hold/', '/probe/'))
    for (const where of lost) origin.on(where, { kind: 'stall', when: 'after-headers' })
    origin.on('/status', { kind: 'stall', when: 'after-headers' })
    const hanging = keysOf('hanging', 12)
    const releases = hanging.map((where) => origin.hold(where))
    const waiting = lost.map((where) => ask(where))
    await Promise.all(lost.map((where) => origin.received(where)))
    // The calls are lost with their Workers, and the alarm asks what became of them.
    await gateway.restart()
    await Promise.all(waiting)
    await origin.received('/status', 2)
    const held = hanging.map((where) => ask(where))
    await Promise.all(hanging.map((where) => origin.received(where)))
    const answers = [await ask('/hold/fine'), await ask('/hold/fine')]
    expect(answers.map(word)).toEqual(['executed', 'replayed'])
    expect(origin.requestsTo('/status')).toHaveLength(2)
    for (const release of releases) release(json(201, {}))
    expect(new Set((await Promise.all(held)).map(word))).toEqual(new Set(['executed']))
  })
})
