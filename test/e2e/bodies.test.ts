import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import path from 'node:path'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { startBareGateway } from './bare.ts'
import { type Gateway, type Origin, startOrigin } from './server.ts'

const MIB = 1_048_576
/** More than the buffers of this host's network take of an answer that nobody reads. */
const LARGE_BYTES = 24 * MIB

let origin: Origin
let gateway: Gateway

beforeAll(async () => {
  origin = await startOrigin()
  const config = path.join(import.meta.dirname, 'bodies-gateway/wrangler.toml')
  gateway = await startBareGateway({ origin, config })
})

afterAll(async () => {
  await gateway.stop()
  await origin.close()
})

/** Sends the request of a path, every path one operation. What is not read of the answer stays with the gateway. */
async function open(where: string): Promise<IncomingMessage> {
  const headers = { Authorization: 'Bearer demo', 'Idempotency-Key': where }
  const options = { method: 'POST', agent: false, headers }
  const outgoing = request(new URL(where, gateway.url), options).end()
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
  return incoming
}

const wordOf = ({ headers }: IncomingMessage) => headers['idempotency-status']

/** What a request is told; of the body it takes nothing. */
async function ask(where: string) {
  const answer = await open(where)
  answer.destroy()
  return wordOf(answer)
}

/** Waits until the operation is settled. @returns A replay of which nothing is read. */
async function replayOf(where: string): Promise<IncomingMessage> {
  for (;;) {
    const answer = await open(where)
    if (wordOf(answer) === 'replayed') return answer
    answer.destroy()
  }
}

/** Waits until the operation is settled, and reads nothing of its answer. */
async function settled(where: string): Promise<void> {
  const answer = await replayOf(where)
  answer.destroy()
}

async function readWhole(answer: IncomingMessage): Promise<string> {
  return hashOf(await buffer(answer))
}

/** Sends the request until it is executed, and reads nothing of the other answers. */
async function executed(where: string): Promise<IncomingMessage> {
  for (;;) {
    const answer = await open(where)
    if (wordOf(answer) === 'executed') return answer
    answer.destroy()
    // The end of retention has no event to wait for.
    await sleep(100)
  }
}

const bytesOf = (nth: number) => Buffer.alloc(LARGE_BYTES, `answer ${nth} `)

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

describe('a large answer and a client that reads it slowly', () => {
  it('is the old one to its end, though its key has expired and was executed again', async () => {
    const where = '/brief/again'
    origin.on(where, (_, nth) => ({ kind: 'respond', body: bytesOf(nth) }))
    // Its own client leaves, and retention counts from then.
    await ask(where)
    const slow = await replayOf(where)

    expect(await readWhole(await executed(where))).toBe(hashOf(bytesOf(2)))
    expect(await readWhole(slow)).toBe(hashOf(bytesOf(1)))
    expect(origin.requestsTo(where)).toHaveLength(2)
  })

  it('is whole for the client whose request it was, and its retry is a replay', async () => {
    const where = '/kept/own'
    const headers = { 'Idempotency-Store': 'max-age=1' }
    origin.on(where, (_, nth) => ({ kind: 'respond', headers, body: bytesOf(nth) }))
    const slow = await open(where)
    const reading = slow[Symbol.asyncIterator]() as AsyncIterableIterator<Buffer>
    const chunks = [(await reading.next()).value as Buffer]
    await settled(where)
    // Well after what the origin has said.
    await sleep(3_000)
    expect(await ask(where)).toBe('replayed')
    for await (const chunk of reading) chunks.push(chunk)
    expect(hashOf(Buffer.concat(chunks))).toBe(hashOf(bytesOf(1)))

    const retry = await open(where)
    expect([wordOf(retry), await readWhole(retry)]).toEqual(['replayed', hashOf(bytesOf(1))])
    expect(origin.requestsTo(where)).toHaveLength(1)
  })

  it('is remembered from when that client has hung up', async () => {
    const where = '/brief/left'
    origin.on(where, (_, nth) => ({ kind: 'respond', body: bytesOf(nth) }))
    const slow = await open(where)
    await once(slow, 'readable')
    await settled(where)
    // As long as the route remembers, and longer.
    await sleep(3_000)
    expect(await ask(where)).toBe('replayed')
    slow.destroy()
    expect(await readWhole(await executed(where))).toBe(hashOf(bytesOf(2)))
  })
})
