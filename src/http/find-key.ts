import type { Context } from 'hono'

import type { Policy } from '../config/policy.ts'
import { toUtf8Text } from '../core/bytes.ts'
import type { ReadBody } from '../core/fingerprint/fingerprint.ts'
import { parsePairs } from '../core/fingerprint/pairs.ts'
import { parsePointer, toPointer } from '../core/json/pointer.ts'
import { readValueAt, type ValueAt } from '../core/json/value-at.ts'
import type { JsonRpcCall } from '../core/request/json-rpc.ts'
import { type KeyScope, type KeySource, mcpOf, type SourceIn } from '../core/request/key-source.ts'
import { checkFormat, parseKey, parsePlainKey, UUID } from '../core/request/key.ts'
import * as details from '../core/response/problem-details.ts'
import type { Problem } from '../core/response/problem.ts'
import { ok, type Result } from '../core/result.ts'
import { type Exchange, learn } from './exchange.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { readByFunction } from './key-function.ts'
import { placeOf } from './key-scope.ts'
import type { Payload } from './payload.ts'
import { scopeOf } from './request-scope.ts'
import { batchCodeOf, mcpCodeOf, type Sourced } from './source-code.ts'

/** The key of a request, or why it has none. */
export type FoundKey =
  | {
      readonly kind: 'key'
      readonly key: string
      readonly source: KeySource['in']
      /** Where the key must be unique. */
      readonly scope: KeyScope
      /** The JSON-RPC call that it names, if the route is an MCP server. */
      readonly call: JsonRpcCall | null
    }
  | { readonly kind: 'none' }
  | { readonly kind: 'refused'; readonly problem: Problem }
  /** The request contains nothing that could be executed twice: it is forwarded untouched. */
  | { readonly kind: 'no-operation' }

/** Looks for the key of a request in the sources of its route, and learns where it was. */
export async function findKey(exchange: Exchange): Promise<FoundKey> {
  const mcp = mcpOf(exchange.policy.key)
  if (mcp === null) return findIn(exchange, null)
  const message = await mcpCodeOf(mcp).readMessage(exchange.payload)
  if (message.kind === 'call') return findIn(exchange, message.call)
  if (message.kind === 'refused') learn(exchange, { source: 'mcp' })
  return message
}

async function findIn(exchange: Exchange, call: JsonRpcCall | null): Promise<FoundKey> {
  const { policy } = exchange
  const callId = call?.id ?? null
  for (const source of policy.key) {
    // oxlint-disable-next-line no-await-in-loop -- the first one that has a key
    const found = await readSource(exchange, source)
    if (found === null) continue
    learn(exchange, { source: source.in, callId })
    const checked = found.ok ? check(found.value, source, policy) : found
    if (!checked.ok) return refused(toProblem(checked.error))
    return { kind: 'key', key: checked.value, source: source.in, scope: source.scope, call }
  }
  learn(exchange, { source: 'none', callId })
  return { kind: 'none' }
}

const refused = (problem: Problem) => ({ kind: 'refused', problem }) as const

function check(key: string, source: KeySource, { keyFormat }: Policy): Result<string, string> {
  // The client did not choose a key that is derived from business values.
  return source.in === 'business' ? ok(key) : checkFormat(key, keyFormat)
}

const toProblem = (fault: string | Problem) =>
  typeof fault === 'string' ? details.keyInvalid(fault) : fault

async function readSource(exchange: Exchange, source: KeySource): Promise<Sourced> {
  const { c, policy, payload } = exchange
  switch (source.in) {
    case 'header': {
      const field = c.req.header(source.name)
      return field === undefined ? null : parseKey(field)
    }
    case 'repeatability':
      return readRepeatability(c, policy)
    case 'body':
      return readPlain(payload, source.pointer)
    case 'query':
      return readQuery(c, source.name)
    case 'param':
      return toPlain(c.req.param(source.name))
    case 'function': {
      if ((await payload.bytes()) === null) return tooLarge(payload)
      await payload.restoreTaken()
      return toPlain(await readByFunction(c, source))
    }
    case 'mcp':
      return readPlain(payload, `/params/_meta${toPointer(source.meta)}`)
    case 'business':
      return readBusiness(exchange, source)
    case 'batch':
      return batchCodeOf(source).readKey(payload, source)
  }
}

const toPlain = (key: string | null | undefined): Sourced =>
  key === null || key === undefined ? null : parsePlainKey(key)

async function tooLarge(payload: Payload): Promise<Sourced> {
  const read = await payload.read()
  return read.ok ? null : read
}

function readQuery(c: Context<GatewayEnv>, name: string): Sourced {
  const [key, ...others] = c.req.queries(name) ?? []
  if (others.length === 0) return toPlain(key)
  return { ok: false, error: `There is more than one key; send the parameter ${name} once.` }
}

/** OASIS Repeatable Requests 1.0: both fields are required, and both are ignored on GET and HEAD. */
function readRepeatability(c: Context<GatewayEnv>, { retention }: Policy): Sourced {
  const id = c.req.header('Repeatability-Request-ID')
  const firstSent = c.req.header('Repeatability-First-Sent')
  const isSafe = c.req.method === 'GET' || c.req.method === 'HEAD'
  if (isSafe || (id === undefined && firstSent === undefined)) return null
  if (id === undefined || firstSent === undefined) {
    return { ok: false, error: 'Send Repeatability-Request-ID and Repeatability-First-Sent both.' }
  }
  const fault = checkFirstSent(firstSent, scopeOf(c).startedAt - retention)
  if (fault !== null) return { ok: false, error: fault }
  // A UUID is the same in either case.
  return parseKey(UUID.test(id) ? id.toLowerCase() : id)
}

/** @param earliest Epoch milliseconds since which operations are remembered. */
function checkFirstSent(firstSent: string, earliest: number): string | Problem | null {
  const firstSentAt = Date.parse(firstSent)
  // Only IMF-fixdate (RFC 9110 §5.6.7) is accepted, which `toUTCString` writes.
  if (Number.isNaN(firstSentAt) || new Date(firstSentAt).toUTCString() !== firstSent) {
    return 'Repeatability-First-Sent must be a date such as Tue, 26 Mar 2019 16:06:51 GMT.'
  }
  return firstSentAt >= earliest ? null : details.firstSentTooEarly()
}

async function readPlain(payload: Payload, pointer: string): Promise<Sourced> {
  const read = await payload.read()
  if (!read.ok) return read
  const value = valueAt(read.value, pointer)
  if (value === null) return null
  if (value.kind === 'string') return parsePlainKey(value.text)
  return { ok: false, error: `The key at ${pointer} is not one string.` }
}

async function readBusiness(
  exchange: Exchange,
  { pointers }: SourceIn<'business'>,
): Promise<Sourced> {
  const read = await exchange.payload.read()
  if (!read.ok) return read
  const texts: string[] = []
  for (const pointer of pointers) {
    const value = valueAt(read.value, pointer)
    if (value === null || value.kind === 'nested') return null
    texts.push(JSON.stringify(value.kind === 'string' ? value.text : { literal: value.text }))
  }
  return ok(scopeOf(exchange.c).digest('business key', placeOf(exchange), ...texts))
}

/** A JSON value or a form field. Several fields of one name are one literal. */
type BodyValue = Pick<ValueAt, 'kind' | 'text'>

function valueAt(body: ReadBody, pointer: string): BodyValue | null {
  const tokens = parsePointer(pointer)
  if (!tokens.ok) return null
  if (body.canonical.kind === 'form') return fieldOf(body.bytes, tokens.value)
  if (body.canonical.kind !== 'json') return null
  return readValueAt(new TextDecoder().decode(body.bytes), tokens.value)
}

function fieldOf(bytes: Uint8Array, [name, ...more]: readonly string[]): BodyValue | null {
  if (more.length > 0) return null
  const named = parsePairs(bytes).filter((pair) => toUtf8Text(pair.name) === name)
  const [value, ...others] = named.map((pair) => toUtf8Text(pair.value))
  if (value === undefined) return null
  if (others.length === 0) return { kind: 'string', text: value }
  return { kind: 'literal', text: JSON.stringify([value, ...others]) }
}
