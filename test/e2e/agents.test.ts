import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { recordOutput } from '../../dev/process-output.ts'
import { runAgent as runAiSdk } from '../../examples/agents/ai-sdk.ts'
import { runAgent as runFunctions } from '../../examples/agents/functions.ts'
import { runAgent as runLangChain } from '../../examples/agents/langchain.ts'
import { runAgent as runMcp } from '../../examples/agents/mcp.ts'
import {
  type Gateway,
  json,
  type Origin,
  type Respond,
  startGateway,
  startOrigin,
} from './server.ts'

const PAYMENTS = '/payments'
/** The order whose payment the API works on until it is told to answer. */
const HELD = 'held'

const { promise: until, resolve: answer } = Promise.withResolvers<Respond>()

let origin: Origin
let gateway: Gateway

beforeAll(async () => {
  origin = await startOrigin()
  origin.on(PAYMENTS, ({ headers, body }, nth) => {
    if (headers['demo-behaviour'] === 'drop') return { kind: 'destroy', when: 'before-headers' }
    return body.includes(HELD) ? { kind: 'hold', until } : json(201, { id: `pay_${nth}` })
  })
  gateway = await startGateway({ origin })
})

afterAll(async () => {
  await gateway.stop()
  await origin.close()
})

const EARLIER = 'This is the earlier result: the same call was executed'
const LOST = 'The answer has status 502, so it is not known whether this was executed.'
const OPEN = 'Tell the user that the outcome is open, with the correlation id'

describe('the examples of agents', () => {
  it.each([
    { name: 'the AI SDK', runAgent: runAiSdk, told: [LOST, EARLIER] },
    { name: 'MCP', runAgent: runMcp, told: [LOST, EARLIER] },
    { name: 'LangChain', runAgent: runLangChain, told: [LOST, EARLIER] },
    { name: 'functions', runAgent: runFunctions, told: [OPEN, OPEN] },
  ])('pay once, and tell the model what became of its calls: $name', async ({ runAgent, told }) => {
    const before = origin.requestsTo(PAYMENTS).length
    const answers = await runAgent(gateway.url, crypto.randomUUID())
    expect(answers).toEqual(told.map((words) => expect.stringContaining(words)))
    expect(answers[1]?.includes(`pay_${before + 1}`)).toBe(told.includes(EARLIER))
    expect(origin.requestsTo(PAYMENTS)).toHaveLength(before + 1)
  })
})

/** An agent in a process of its own, which pays three orders in a run that has always the same id. */
function startAgent() {
  const script = path.join(import.meta.dirname, 'agent-process.ts')
  const child = spawn(process.execPath, [script, gateway.url, 'run-1', 'ended', HELD, 'later'])
  return { child, output: recordOutput(child), closed: once(child, 'close') }
}

describe('an agent that is killed', () => {
  it('goes on in its resumed run: what was paid is not paid again, what was not is paid', async () => {
    const before = origin.requestsTo(PAYMENTS).length
    const first = startAgent()
    await origin.received(PAYMENTS, before + 2)
    first.child.kill('SIGKILL')
    await first.closed
    const resumed = startAgent()
    await resumed.output.written('ended')
    answer(json(201, { id: 'pay_held' }))
    await resumed.closed
    expect(first.output.text()).toMatch(/^{"order":"ended",.*It was executed now.*}\n$/)
    const [ended, held, later] = resumed.output.text().split('\n')
    expect(ended).toContain(
      `"result":{"id":"pay_${before + 1}"},"note":"About this call: ${EARLIER}`,
    )
    expect(held).toMatch(
      /"result":{"id":"pay_held"},"note":"About this call: .* (its|earlier) result/,
    )
    expect(later).toContain('It was executed now.')
    const paid = origin.requestsTo(PAYMENTS).slice(before)
    expect(paid.map(({ body }) => body.toString())).toEqual([
      '{"order":"ended"}',
      `{"order":"${HELD}"}`,
      '{"order":"later"}',
    ])
  })
})
