import type { Context } from 'hono'
import * as z from 'zod/mini'

import { ConfigurationFault } from '../config/configuration-fault.ts'
import { createDigest } from '../core/digest.ts'
import { isOperationId, possibleIds } from '../core/operation/operation.ts'
import type { OperatorAction, OperatorResult } from '../core/operation/operator-action.ts'
import type { OperatorView } from '../core/operation/operator-view.ts'
import type { AdminAction } from '../core/request-facts.ts'
import { parseKey } from '../core/request/key.ts'
import { directoryOf } from '../directory/directory-guard.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { logFault } from '../metrics/log.ts'
import { askObject } from '../platform/ask-object.ts'
import { inTime } from '../platform/in-time.ts'
import { OFFSET_ADVICE, readOffset, withRequests } from './analytics-api.ts'
import { examineInTime } from './ask-objects.ts'
import { audit, auditUnconfirmed } from './audit.ts'
import { type Changed, changeMany, IDS_ADVICE, readIds, readJson, toResponse } from './changes.ts'
import { notFound, refusal } from './refusal.ts'
import { parseResolution } from './resolution.ts'

type AdminContext = Context<GatewayEnv>

/** Shows the operation that the path names, with a page of its timeline. */
export async function showOperation(c: AdminContext): Promise<Response> {
  const offset = readOffset(c)
  if (offset === null) return refusal(c, 400, OFFSET_ADVICE)
  return toAnswer(c, await examineInTime(c, idOf(c)), offset)
}

const LookUpSchema = z.strictObject({
  tenant: z.string(),
  key: z.string(),
  /** The consumer of a queue, if the operation is one of its own. */
  consumer: z.optional(z.string()),
  /** The name of the operation, if its keys count within it. */
  operation: z.optional(z.string()),
})

/** Finds an operation by what its client knows; in a body, since a key has no place in a URL. */
export async function lookUp(c: AdminContext): Promise<Response> {
  const asked = LookUpSchema.safeParse(await readJson(c))
  if (!asked.success) return refusal(c, 400, 'Send { "tenant": "…", "key": "…" } as JSON.')
  const { tenant, key, consumer = '', operation = '' } = asked.data
  // A header may have quotes around the key; a body has it as it stands.
  const parsed = parseKey(key)
  const keys = parsed.ok ? new Set([parsed.value, key]) : [key]
  const digest = createDigest(c.env.HAPAX_DIGEST_KEY)
  const within = { consumer, operation }
  const ids = [...keys].flatMap((one) => possibleIds(digest, tenant, one, within))
  for (const { id, bears } of ids) {
    // oxlint-disable-next-line no-await-in-loop -- the next is asked for only without this one
    const view = await examineInTime(c, id)
    if (view !== null && (bears === null || view.operation === bears)) return toAnswer(c, view)
  }
  return notFound(c)
}

async function toAnswer(
  c: AdminContext,
  view: OperatorView | null,
  offset?: number,
): Promise<Response> {
  return view === null ? notFound(c) : c.json(await withRequests(c, view, offset))
}

/** Gives up the claim of an operation whose Worker is lost. */
export function release(c: AdminContext): Promise<Response> {
  return changeOne(c, { kind: 'release' }, 'released')
}

/** Forgets an operation, so that its key is new. */
export function erase(c: AdminContext): Promise<Response> {
  return changeOne(c, { kind: 'erase' }, 'erased')
}

/** Sets the outcome of an operation whose outcome is unknown. */
export async function resolve(c: AdminContext): Promise<Response> {
  const resolution = parseResolution(await readJson(c))
  if (!resolution.ok) return refusal(c, 400, resolution.error)
  return changeOne(c, resolution.value, 'resolved')
}

/** Sets the same outcome of many operations. */
export async function resolveMany(c: AdminContext): Promise<Response> {
  const read = readIds(await readJson(c))
  if (read === null) return refusal(c, 400, IDS_ADVICE)
  const resolution = parseResolution(read.rest)
  if (!resolution.ok) return refusal(c, 400, resolution.error)
  return changeMany(
    c,
    read.ids,
    (id) => operate(c, id, resolution.value, 'resolved'),
    (operationId) => auditUnconfirmed(c, 'resolved', { operationId }),
  )
}

const idOf = (c: AdminContext) => c.req.param('id') ?? ''

/** The actions on operations. */
type Done = Extract<AdminAction, 'released' | 'resolved' | 'erased'>

async function changeOne(c: AdminContext, action: OperatorAction, name: Done): Promise<Response> {
  return toResponse(c, await operate(c, idOf(c), action, name))
}

/** The time that an object has for the action of an operator, in milliseconds. */
const OPERATE_LIMIT_MS = 10_000

/** Changes an operation, and audits it. */
async function operate(
  c: AdminContext,
  id: string,
  action: OperatorAction,
  name: Done,
): Promise<Changed> {
  if (!isOperationId(id)) return { kind: 'not-found' }
  let result: OperatorResult
  try {
    // Asked once: a second try would be told that there is nothing to do, and nobody of the first.
    const asked = askObject(c, id, (object) => object.operate(id, action), { maxTries: 1 })
    result = await inTime(asked, OPERATE_LIMIT_MS)
  } catch (error) {
    if (error instanceof ConfigurationFault) throw error
    logFault('an operator was not told what became of an action', error)
    auditUnconfirmed(c, name, { operationId: id })
    return { kind: 'unconfirmed' }
  }
  if (result.kind !== 'done') return result
  audit(c, name, { ...result.subject, operationId: id, ageMs: unknownMs(result.view) })
  if (action.kind === 'resolve' && action.outcome === 'not_executed') await undecide(c, id)
  return result
}

const UNDECIDE_LIMIT_MS = 5_000

/** Lets the messages of an operation be replayed. If the directory is not told, that takes an override. */
async function undecide(c: AdminContext, id: string): Promise<void> {
  try {
    await inTime(directoryOf(c.env).undecide(id), UNDECIDE_LIMIT_MS)
  } catch (error) {
    logFault('dead letters of a resolved operation stay decided', error)
  }
}

function unknownMs(view: OperatorView | null): number {
  if (view?.state !== 'unknown' || view.settledAt === undefined) return 0
  return Math.max(0, Date.now() - Date.parse(view.settledAt))
}
