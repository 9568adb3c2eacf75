import { randomUUID } from 'node:crypto'

import type { Contract, ContractOperation } from '../../src/core/response/contract.ts'
import { type Step, toStep } from './step.ts'
import { type Reply, type Target, toSeen } from './target.ts'

/** A request that the user allows to be executed once. */
export interface SafeRequest {
  readonly path: string
  readonly method: string
  readonly body: string | null
  readonly headers: Readonly<Record<string, string>>
}

/** Sends the request twice with one new key, then another body with this key. */
export async function checkEffect(
  target: Target,
  contract: Contract | null,
  safe: SafeRequest | null,
): Promise<Step[]> {
  if (safe === null) return skipped('name a route that may be executed once with --path')
  if (contract === null) return skipped('the contract could not be read')
  const operation = contract.operations.find((one) => isFor(one, safe))
  if (operation === undefined) {
    const detail = `no protected route takes ${safe.method} ${safe.path}`
    return [{ step: 'executed', result: 'failed', detail }]
  }
  const send = sender(target, operation, safe)
  const first = await send(safe.body)
  const executed = toExecuted(first)
  if (typeof first === 'string' || executed.result === 'failed') return [executed]
  const replayed = toReplayed(first, await send(safe.body))
  return [executed, replayed, await checkMismatch(operation, safe, send)]
}

/** Whether a route takes the request. Hono's patterns have parameters and `*`. */
function isFor({ method, methods, path }: ContractOperation, safe: SafeRequest): boolean {
  const pattern = path
    .replaceAll(/[.+^$()|[\]\\]/g, String.raw`\$&`)
    .replaceAll(/:\w+(\{[^}]*\})?\??/g, '[^/]+')
    .replaceAll('*', '.*')
  const [pathname = ''] = safe.path.split('?')
  const taken = methods ?? [method]
  return (
    (taken.includes(safe.method) || (method === 'ALL' && methods === undefined)) &&
    new RegExp(`^${pattern}$`).test(pathname)
  )
}

const skipped = (detail: string): Step[] => [{ step: 'executed', result: 'skipped', detail }]

type Send = (body: string | null) => Promise<Reply | string>

function sender({ ask }: Target, { key }: ContractOperation, safe: SafeRequest): Send {
  const source = key.sources.find((one) => one.in === 'header')
  const name = source?.in === 'header' ? source.name : 'Idempotency-Key'
  const type = safe.body === null ? {} : { 'content-type': 'application/json' }
  const headers = { ...type, ...safe.headers, [name.toLowerCase()]: randomUUID() }
  return (body) => ask({ path: safe.path, method: safe.method, headers, body })
}

const wordOf = (reply: Reply | string) =>
  typeof reply === 'string' ? null : reply.headers.get('Idempotency-Status')

function toExecuted(first: Reply | string): Step {
  const holds = wordOf(first) === 'executed' && typeof first !== 'string' && first.status < 500
  const seen = toSeen(first)
  return toStep(
    'executed',
    holds,
    `first request: ${seen}`,
    `first request: ${seen} instead of executed`,
  )
}

function toReplayed(first: Reply, second: Reply | string): Step {
  const isSame =
    typeof second !== 'string' && second.status === first.status && second.body === first.body
  const isReplay = wordOf(second) === 'replayed'
  const why = isReplay ? 'another response' : toSeen(second)
  return toStep(
    'replayed',
    isReplay && isSame,
    `second request: ${toSeen(second)}, the same response`,
    `second request: ${why} instead of the same response, replayed`,
  )
}

async function checkMismatch(
  { fingerprint, problems }: ContractOperation,
  safe: SafeRequest,
  send: Send,
): Promise<Step> {
  const step = 'mismatch'
  if (safe.body === null) return { step, result: 'skipped', detail: 'there is no body: --data' }
  if (fingerprint.by !== undefined) {
    return { step, result: 'skipped', detail: 'the route does not compare bodies' }
  }
  const status = problems.find(({ type }) => type === 'key-reused')?.status ?? 409
  const reply = await send(toOther(safe.body))
  const holds =
    typeof reply !== 'string' &&
    reply.status === status &&
    reply.headers.get('Hapax-Error') === 'key-reused'
  const what = `${status} key-reused`
  const asked = 'another body with the same key'
  return toStep(step, holds, `${asked}: ${what}`, `${asked}: ${toSeen(reply)} instead of ${what}`)
}

/** A body that differs. An object stays one, because the route may read it. */
function toOther(body: string): string {
  const trimmed = body.trimEnd()
  if (!trimmed.endsWith('}')) return `${body}1`
  const separator = /\{\s*\}$/.test(trimmed) ? '' : ','
  return `${trimmed.slice(0, -1)}${separator}"hapaxSmoke":true}`
}
