import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import path from 'node:path'
import { json as readJson, text } from 'node:stream/consumers'
import { promisify } from 'node:util'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod'

import { close, listen } from '../../dev/local-server.ts'
import { recordOutput } from '../../dev/process-output.ts'
import schema from '../../docs/claims.schema.json' with { type: 'json' }
import { type Gateway, startGateway } from './server.ts'

const TOKEN = 'claims-token-of-this-test'
const OPERATOR = 'operator-token-of-this-test'
const EXAMPLES = path.resolve(import.meta.dirname, '../../examples/claims')

/** One program, for two runtimes. */
const PROGRAMS = [
  { name: 'node', command: process.execPath, file: 'refund.ts' },
  { name: 'python', command: 'python3', file: 'refund.py' },
] as const
const has = (command: string) => spawnSync(command, ['--version']).status === 0
const hasPython = has('python3')
const hasCurl = has('curl')
const programs = PROGRAMS.filter(({ name }) => name === 'node' || hasPython)
const POLICIES = ['hold', 'resend', 'probe'] as const

/** Where a process is killed: before its claim, …, before it hears that its claim is settled. */
const POINTS = ['unclaimed', 'claimed', 'asked', 'worked', 'unsettled', 'settled'] as const

type Program = (typeof PROGRAMS)[number]
type Policy = (typeof POLICIES)[number]
type Point = (typeof POINTS)[number]

/** An order for each case: one process runs all points of a policy at once, and is killed in all of them. */
const toOrder = (program: Program, policy: Policy, point: Point) =>
  `${program.name}-${policy}-${point}`
const runs = programs.flatMap((program) => POLICIES.map((policy) => ({ program, policy })))
const ordersOf = ({ program, policy }: (typeof runs)[number]) =>
  POINTS.map((point) => toOrder(program, policy, point))

/** Those who wait at a point for ever, by their order. */
const waiting = new Map<string, PromiseWithResolvers<void>>()
const waitingAt = (order: string) => {
  const known = waiting.get(order) ?? Promise.withResolvers<void>()
  waiting.set(order, known)
  return known
}

/** Holds an order that has come to its point, when it comes there for the first time. */
async function pass(order: string, point: Point | undefined): Promise<void> {
  if (second || point === undefined || !order.endsWith(`-${point}`)) return
  waitingAt(order).resolve()
  await new Promise(() => {})
}

/** Whether the processes have been killed, so that nobody is held any more. */
let second = false

interface Refund {
  readonly id: string
  readonly order: string
  readonly amount: number
}

/** The API that the function calls: it recognizes a repeat by the key. */
const calls: { readonly order: string; readonly key: string }[] = []
const refunds = new Map<string, Refund>()
const callsOf = (order: string) => calls.filter((call) => call.order === order)
const effectsOf = (order: string) => [...refunds.values()].filter((one) => one.order === order)

const payments = serve(async (request) => {
  const key = String(request.headers['idempotency-key'] ?? request.url?.split('/')[2])
  if (request.method === 'GET') return refunds.get(key) ?? null
  const { order, amount } = (await readJson(request)) as Refund
  calls.push({ order, key })
  await pass(order, 'asked')
  if (order.startsWith('race')) await raced(order)
  const refund = refunds.get(key) ?? { id: `r_${refunds.size + 1}`, order, amount }
  refunds.set(key, refund)
  await pass(order, 'worked')
  return refund
})

/** How often an order was claimed, and those who wait until two processes have. */
const claims = new EventEmitter().setMaxListeners(0)
const claimCounts = new Map<string, number>()
function race(order: string): void {
  claimCounts.set(order, (claimCounts.get(order) ?? 0) + 1)
  claims.emit(order)
}

async function raced(order: string): Promise<void> {
  while ((claimCounts.get(order) ?? 0) < 2) await once(claims, order)
}

/** Operations and their orders. */
const operations = new Map<string, string>()

/** Stands between the processes and the gateway, and holds requests before and after it. */
const between = serve(async (request) => {
  const { url = '', headers } = request
  const sent = await text(request)
  const [, , , id = '', action = 'claim'] = url.split('/')
  const { input } = JSON.parse(sent) as { readonly input?: { readonly order: string } }
  const order = input?.order ?? operations.get(id) ?? ''
  if (action === 'claim') race(order)
  const [before, after] = AROUND[action] ?? []
  await pass(order, before)
  const init = { method: 'POST', headers: { Authorization: String(headers.authorization) } }
  const answer = await fetch(gateway.url + url, { ...init, body: sent })
  const { operationId } = (await answer.clone().json()) as { readonly operationId?: string }
  if (operationId !== undefined) operations.set(operationId, order)
  check(action, sent, await answer.clone().text(), answer.ok)
  await pass(order, after)
  return breakOff(answer, `${order} ${action}`)
})

/** Answers that have broken off, by order and action. */
const cuts = new Set<string>()

/** Breaks off the first answer to each action of an order that says so. */
function breakOff(answer: Response, name: string): Response {
  if (!name.startsWith('cut') || cuts.has(name)) return answer
  cuts.add(name)
  const fault = new Error('It breaks off.')
  return new Response(new ReadableStream({ start: (body) => body.error(fault) }), answer)
}

const DESCRIBED: Readonly<Record<string, readonly [request: string, answer: string]>> = {
  claim: ['ClaimRequest', 'ClaimAnswer'],
  renew: ['RenewRequest', 'RenewAnswer'],
  settle: ['SettleRequest', 'SettleAnswer'],
}
const described = (name = '') =>
  z.fromJSONSchema({ ...schema, $ref: `#/$defs/${name}` } as z.core.JSONSchema.JSONSchema)

/** What processes and gateway have sent that is not as the JSON Schema describes it, and how much is. */
const unlike: string[] = []
let alike = 0

function check(action: string, sent: string, answered: string, isOk: boolean): void {
  const [request, answer] = DESCRIBED[action] ?? []
  const pairs = [[request, sent], ...(isOk ? [[answer, answered]] : [])]
  for (const [name, document = ''] of pairs) {
    const { success } = described(name).safeParse(JSON.parse(document))
    if (success) alike += 1
    else unlike.push(`${name}: ${document}`)
  }
}

/** The points before and after the gateway. */
const AROUND: Readonly<Record<string, readonly Point[]>> = {
  claim: ['unclaimed', 'claimed'],
  settle: ['unsettled', 'settled'],
}

/** Serves what a function answers: a response, or JSON, or `null` if there is nothing. */
function serve(answer: (request: IncomingMessage) => Promise<Response | object | null>): Server {
  return createServer((incoming, outgoing) => {
    const respond = async () => {
      const made = await answer(incoming)
      const response =
        made instanceof Response ? made : Response.json(made, { status: made === null ? 404 : 200 })
      // Not those that describe how it came.
      const fields = [...response.headers].filter(
        ([name]) => !/^(?:content-[el]|transfer)/.test(name),
      )
      outgoing.writeHead(response.status, Object.fromEntries(fields))
      outgoing.flushHeaders()
      outgoing.end(Buffer.from(await response.arrayBuffer()))
    }
    respond().catch(() => outgoing.destroy())
  })
}

let gateway: Gateway
let urls: { readonly HAPAX_URL: string; readonly PAYMENTS_URL: string }

beforeAll(async () => {
  const vars = { HAPAX_CLAIMS_TOKEN: TOKEN, HAPAX_ADMIN_TOKEN: OPERATOR }
  gateway = await startGateway({ origin: { url: 'http://127.0.0.1:9' }, vars })
  urls = { HAPAX_URL: await listen(between), PAYMENTS_URL: await listen(payments) }
})

afterAll(async () => {
  await gateway?.stop()
  await Promise.all([close(between), close(payments)])
})

/** Python leaves no compiled files beside its sources. */
const QUIET = { PYTHONDONTWRITEBYTECODE: '1' }

/** Starts a process that refunds orders. */
function start(
  { command, file }: Program,
  policy: Policy,
  orders: readonly string[],
): ChildProcess {
  const options = ['--unknown', policy, '--lease', '4s', '--grace', '0']
  const { PATH, NODE_COMPILE_CACHE } = process.env
  return spawn(command, [file, ...options, ...orders.map((order) => `${order}:500`)], {
    cwd: EXAMPLES,
    env: { PATH, ...QUIET, NODE_COMPILE_CACHE, HAPAX_CLAIMS_TOKEN: TOKEN, ...urls },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** What a process has printed of an order. */
interface Line {
  readonly order: string
  readonly result?: Refund
  readonly error?: string
}

/** Runs a process to its end. @throws {Error} If it fails. */
async function run(...parts: Parameters<typeof start>): Promise<Line[]> {
  const child = start(...parts)
  const output = recordOutput(child)
  await once(child, 'close')
  if (child.exitCode !== 0) throw new Error(`${parts[0].name} has failed:\n${output.text()}`)
  const lines = output.text().trim().split('\n')
  return lines.map((line) => JSON.parse(line) as Line)
}

/** Runs a process until all its orders wait at their points, and kills it. */
async function runAndKill(...parts: Parameters<typeof start>): Promise<void> {
  const [{ name }, , orders] = parts
  const child = start(...parts)
  const output = recordOutput(child)
  const closed = once(child, 'close')
  const areWaiting = Promise.all(orders.map((order) => waitingAt(order).promise))
  await Promise.race([areWaiting, closed])
  if (child.exitCode !== null) throw new Error(`${name} has ended:\n${output.text()}`)
  child.kill('SIGKILL')
  await closed
}

/** Sets the outcome of an operation that is held. */
async function resolve(order: string, outcome: 'succeeded' | 'not_executed'): Promise<void> {
  const [id] = [...operations].find(([, of]) => of === order) ?? []
  const headers = { Authorization: `Bearer ${OPERATOR}`, 'Content-Type': 'application/json' }
  const [refund] = effectsOf(order)
  const response = { status: 200, body: JSON.stringify(refund) }
  const decision = outcome === 'succeeded' ? { outcome, response } : { outcome }
  const answer = await fetch(`${gateway.url}/_hapax/admin/operations/${id}/resolve`, {
    method: 'POST',
    headers,
    body: JSON.stringify(decision),
  })
  if (!answer.ok) throw new Error(`The operator is refused: ${await answer.text()}`)
}

describe('a process that is killed with SIGKILL, and another one after it', () => {
  /** What the second process has printed, and how often the API was called and had an effect by then. */
  const after = new Map<string, Line & { readonly calls: number; readonly effects: number }>()
  /** What a third process has printed after the operator has decided. */
  const decided = new Map<string, Line>()

  beforeAll(async () => {
    await Promise.all(runs.map((one) => runAndKill(one.program, one.policy, ordersOf(one))))
    second = true
    await Promise.all(
      runs.map(async (one) => {
        for (const line of await run(one.program, one.policy, ordersOf(one))) {
          const { order } = line
          const counts = { calls: callsOf(order).length, effects: effectsOf(order).length }
          after.set(order, { ...line, ...counts })
        }
      }),
    )
    await Promise.all(
      programs.map(async (program) => {
        const orders = HELD.map((point) => toOrder(program, 'hold', point))
        await Promise.all(
          orders.map((order) =>
            resolve(order, effectsOf(order).length > 0 ? 'succeeded' : 'not_executed'),
          ),
        )
        for (const line of await run(program, 'hold', orders)) decided.set(line.order, line)
      }),
    )
  }, 60_000)

  /** Points after which nobody knows whether the effect has happened. */
  const HELD = ['claimed', 'asked', 'worked', 'unsettled'] as const

  const cells = runs.flatMap(({ program, policy }) =>
    POINTS.map((point) => ({ program, policy, point, order: toOrder(program, policy, point) })),
  )

  it.skipIf(!hasPython)(
    'is one in Python as well, since there is a python3 on this machine',
    () => {
      expect(new Set(cells.map(({ program }) => program.name))).toEqual(new Set(['node', 'python']))
    },
  )

  it.each(cells.filter(({ policy, point }) => policy !== 'hold' || !isHeld(point)))(
    '$program.name, $policy: killed when $point, it has one effect and its result',
    ({ policy, point, order }) => {
      const [refund] = effectsOf(order)
      expect(after.get(order)).toEqual({
        order,
        result: refund,
        effects: 1,
        calls: callsAfter(policy, point),
      })
      expect(new Set(callsOf(order).map(({ key }) => key)).size).toBe(1)
    },
  )

  it.each(cells.filter(({ policy, point }) => policy === 'hold' && isHeld(point)))(
    '$program.name, hold: killed when $point, it waits for an operator, and has one effect then',
    ({ point, order }) => {
      const hasWorked = point === 'worked' || point === 'unsettled'
      const { calls: called } = after.get(order) ?? {}
      expect(after.get(order)).toMatchObject({
        error: 'outcome-unknown',
        effects: hasWorked ? 1 : 0,
      })
      expect(called).toBe(point === 'claimed' ? 0 : 1)
      const [refund, ...others] = effectsOf(order)
      expect(decided.get(order)).toEqual({ order, result: refund })
      expect([refund, others]).toEqual([expect.objectContaining({ order }), []])
    },
  )

  function isHeld(point: Point): boolean {
    return HELD.some((held) => held === point)
  }

  /** How often the API was called for an order, by both processes. */
  function callsAfter(policy: Policy, point: Point): number {
    if (point === 'asked') return 2
    return policy === 'resend' && (point === 'worked' || point === 'unsettled') ? 2 : 1
  }
})

describe('an answer that breaks off', () => {
  it.each(programs)('is asked for again by $name, which works once', async (program) => {
    const order = `cut-${program.name}`
    const printed = await run(program, 'hold', [order])
    const [refund, ...others] = effectsOf(order)
    expect(printed).toEqual([{ order, result: refund }])
    expect([callsOf(order).length, others]).toEqual([1, []])
    expect([`${order} claim`, `${order} settle`].every((cut) => cuts.has(cut))).toBe(true)
  })
})

describe('processes in Node and Python that want the same at the same time', () => {
  it.skipIf(!hasPython)('have one effect for each order, and both get its result', async () => {
    const orders = ['race-1', 'race-2', 'race-3']
    const printed = await Promise.all(programs.map((program) => run(program, 'hold', orders)))
    for (const order of orders) {
      const [refund, ...others] = effectsOf(order)
      expect(others).toEqual([])
      expect(callsOf(order)).toHaveLength(1)
      const lines = printed.flat().filter((line) => line.order === order)
      expect(lines).toEqual([
        { order, result: refund },
        { order, result: refund },
      ])
    }
  })
})

describe('docs/claims.md', () => {
  const page = readFileSync(path.resolve(import.meta.dirname, '../../docs/claims.md'), 'utf8')
  const [, section = ''] = page.split('## With curl')
  const blocks = Array.from(section.matchAll(/^```(sh|json)\n(.*?)^```$/gms)).map(
    ([, kind, code = '']) => ({ kind, code }),
  )
  const commands = blocks.filter(({ kind }) => kind === 'sh').map(({ code }) => code)
  const answers = blocks.filter(({ kind }) => kind === 'json').map(({ code }) => JSON.parse(code))

  it.skipIf(!hasCurl)('shows commands of curl that work, and their answers', async () => {
    const variables = { HAPAX_URL: gateway.url, HAPAX_CLAIMS_TOKEN: TOKEN }
    const curl = async (command = '', more = {}) => {
      const env = { PATH: process.env['PATH'], ...variables, ...more }
      const { stdout } = await promisify(execFile)('sh', ['-c', command], { env })
      return JSON.parse(stdout)
    }
    const [claim, renew, settle] = commands
    const granted = await curl(claim)
    const names = { OPERATION_ID: granted.operationId, CLAIM: granted.claim }
    const renewed = await curl(renew, names)
    const settled = await curl(settle, names)
    const repeated = await curl(claim)
    expect([commands.length, answers.length]).toEqual([3, 2])
    expect([granted, repeated].map(Object.keys)).toEqual(answers.map(Object.keys))
    expect(renewed).toEqual({ leaseMs: 60_000 })
    expect(settled).toEqual({ settled: 'taken' })
    expect(repeated).toMatchObject({ state: 'succeeded', result: { id: 'r_1' } })
    for (const answer of answers) {
      expect(described('ClaimAnswer').safeParse(answer)).toMatchObject({ success: true })
    }
  })

  it('has a schema of all that processes and gateway have sent each other here', () => {
    expect(unlike).toEqual([])
    expect(alike).toBeGreaterThan(50)
  })
})
