import path from 'node:path'

import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type Gateway, json, type Origin, startGateway, startOrigin } from './server.ts'

const CHAT = '/v1/chat/completions'
const IMPATIENT = '/impatient/chat/completions'
const eventStream = { 'Content-Type': 'text/event-stream; charset=utf-8' }
const question = { model: 'm', messages: [{ role: 'user' as const, content: 'Say it.' }] }
const completion = json(200, {
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'm',
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: 'Once.' },
      finish_reason: 'stop',
      logprobs: null,
    },
  ],
})

/** The SDK sends a key only where a subclass names the header: it is no option of its constructor. */
class IdempotentOpenAI extends OpenAI {
  protected override idempotencyHeader = 'Idempotency-Key'
}

let origin: Origin
let gateway: Gateway

beforeAll(async () => {
  origin = await startOrigin()
  const config = path.join(import.meta.dirname, 'gateway/wrangler.toml')
  gateway = await startGateway({ origin, config })
})

afterAll(async () => {
  await gateway.stop()
  await origin.close()
})

/** A client with the SDK's own retries, and what every one of its requests was answered with. */
function clientOf(base: string, onAnswer: (answer: Response) => void = () => {}) {
  const answers: Record<'status' | 'word' | 'shouldRetry', unknown>[] = []
  const client = new IdempotentOpenAI({
    apiKey: 'demo',
    baseURL: gateway.url + base,
    async fetch(input, init) {
      const answer = await fetch(input, init)
      const { status, headers } = answer
      const word = headers.get('Idempotency-Status')
      answers.push({ status, word, shouldRetry: headers.get('X-Should-Retry') })
      onAnswer(answer)
      return answer
    },
  })
  return { client, answers }
}

/** An event as OpenAI writes it. */
function eventOf(content: string): string {
  const delta = { index: 0, delta: { content }, finish_reason: null }
  const chunk = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'm' }
  return `data: ${JSON.stringify({ ...chunk, choices: [delta] })}\n\n`
}

async function openChat(client: OpenAI, idempotencyKey: string) {
  const stream = await client.chat.completions.create(
    { ...question, stream: true },
    { idempotencyKey },
  )
  const events = stream[Symbol.asyncIterator]()
  return async () => {
    const { done, value } = await events.next()
    return done === true ? null : value.choices[0]?.delta.content
  }
}

describe('the openai SDK, streaming', () => {
  it('reads every delta as it comes, also as a duplicate in mid-stream, and then the replay', async () => {
    const answer = origin.stream(CHAT, { headers: eventStream })
    const first = clientOf('/v1')
    const readFirst = await openChat(first.client, 'chat')
    await answer.write(eventOf('Once'))
    expect(await readFirst()).toBe('Once')

    const joined = clientOf('/v1')
    const readJoined = await openChat(joined.client, 'chat')
    expect(await readJoined()).toBe('Once')
    // An event in two halves, with a character of two bytes between them.
    const bytes = Buffer.from(eventOf(', für alle'))
    const cut = bytes.indexOf('ü') + 1
    await answer.write(bytes.subarray(0, cut))
    await answer.write(bytes.subarray(cut))
    expect(await readFirst()).toBe(', für alle')
    expect(await readJoined()).toBe(', für alle')
    await answer.write('data: [DONE]\n\n')
    await answer.end()
    expect(await readFirst()).toBeNull()
    expect(await readJoined()).toBeNull()

    const replay = clientOf('/v1')
    const read = await openChat(replay.client, 'chat')
    expect([await read(), await read(), await read()]).toEqual(['Once', ', für alle', null])
    const words = [first, joined, replay].map(({ answers }) => answers.map(({ word }) => word))
    expect(words).toEqual([['executed'], ['joined'], ['replayed']])
    expect(origin.requestsTo(CHAT)).toHaveLength(1)
  })

  it('sees its stream break off, and does not retry what nobody may send again', async () => {
    const before = origin.requestsTo(CHAT).length
    const answer = origin.stream(CHAT, { headers: eventStream })
    const read = await openChat(clientOf('/v1').client, 'broken-chat')
    await answer.write(eventOf('Half'))
    expect(await read()).toBe('Half')
    await answer.breakOff()
    await expect(read()).rejects.toThrow('terminated')

    const retry = clientOf('/v1')
    const refused = openChat(retry.client, 'broken-chat')
    await expect(refused).rejects.toMatchObject({ status: 409, code: 'outcome-unknown' })
    expect(retry.answers).toEqual([{ status: 409, word: 'unknown', shouldRetry: 'false' }])
    expect(origin.requestsTo(CHAT)).toHaveLength(before + 1)
  })
})

describe('the retries of the openai SDK', () => {
  it('come again while the first call runs, as X-Should-Retry says', async () => {
    const release = origin.hold(IMPATIENT)
    const first = clientOf('/impatient')
    const once = first.client.chat.completions.create(question, { idempotencyKey: 'impatient' })
    await origin.received(IMPATIENT)
    const second = clientOf('/impatient', ({ status }) => status === 409 && release(completion))
    const again = second.client.chat.completions.create(question, { idempotencyKey: 'impatient' })
    const answers = await Promise.all([once, again])
    expect(answers.map(({ choices }) => choices[0]?.message.content)).toEqual(['Once.', 'Once.'])
    expect(second.answers).toEqual([
      { status: 409, word: 'in-progress', shouldRetry: 'true' },
      { status: 200, word: 'replayed', shouldRetry: null },
    ])
    expect(origin.requestsTo(IMPATIENT)).toHaveLength(1)
  })

  it('do not come for an answer that was lost', async () => {
    const before = origin.requestsTo(CHAT).length
    origin.on(CHAT, { kind: 'destroy', when: 'before-headers' })
    const { client, answers } = clientOf('/v1')
    const lost = client.chat.completions.create(question, { idempotencyKey: 'lost' })
    await expect(lost).rejects.toMatchObject({ status: 502, code: 'outcome-unknown' })
    expect(answers).toEqual([{ status: 502, word: 'unknown', shouldRetry: 'false' }])
    expect(origin.requestsTo(CHAT)).toHaveLength(before + 1)
  })

  it('keep the key that the SDK has made for the first try', async () => {
    const before = origin.requestsTo(CHAT).length
    const busy = { ...json(503, {}), headers: { 'Retry-After-Ms': '10' } }
    origin.on(CHAT, (_, nth) => (nth === before + 1 ? busy : completion))
    const { client, answers } = clientOf('/v1')
    const { choices } = await client.chat.completions.create(question)
    expect(choices[0]?.message.content).toBe('Once.')
    expect(answers.map(({ status }) => status)).toEqual([503, 200])
    const calls = origin.requestsTo(CHAT).slice(before)
    const [key, ...keys] = calls.map(({ headers }) => headers['idempotency-key'])
    expect(key).toMatch(/^[\w-]{43}$/)
    expect(keys).toEqual([key])
  })
})
