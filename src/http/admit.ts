import type { Context } from 'hono'

import type { Policy } from '../config/policy.ts'
import { collectBody } from '../core/body.ts'
import type { ClaimRequest } from '../core/claim.ts'
import { fingerprint, type FingerprintFault } from '../core/fingerprint/fingerprint.ts'
import { parseKey } from '../core/key.ts'
import { operationId } from '../core/operation.ts'
import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { tenantMissing } from './verdict.ts'

/** Where keys come from. */
export const KEY_HEADER = 'Idempotency-Key'

/** A request that may be claimed. */
export interface Admitted {
  readonly key: string
  readonly body: Uint8Array<ArrayBuffer>
  /** What every claim of it holds; the route adds how it is driven and recovered. */
  readonly claim: Omit<ClaimRequest, 'leaseMs' | 'recovery' | 'isAccepted' | 'reauthorizePath'>
}

/** Why a request is not claimed, with what of it is known. */
export interface Refused {
  readonly problem: Problem
  readonly tenant: string | null
}

/**
 * Reads what a claim needs of a request: key, tenant, body and fingerprint, in this order, so that
 * the cheapest fault is found first and nothing is stored for a request that has one.
 *
 * @param key Value of the header field that holds the key.
 */
export async function admit(
  c: Context<GatewayEnv>,
  policy: Policy,
  operation: string,
  field: string,
): Promise<Result<Admitted, Refused>> {
  const key = parseKey(field)
  if (!key.ok) return refuse(problem('key-invalid', key.error))

  const { digest, tenant: resolveTenant, correlation } = c.var.hapax
  const tenant = await resolveTenant(c)
  if (!tenant) return refuse(tenantMissing())

  const body = await readBody(c, policy.limits.request)
  if (body === null) return refuse(tooLarge(policy.limits.request), tenant)

  const printed = await fingerprint(toFingerprintInput(c.req.raw, body), policy.fingerprint, {
    digest,
    maxDecodedBytes: policy.limits.request,
  })
  if (!printed.ok) return refuse(toProblem(printed.error), tenant)

  const claim = {
    operationId: await operationId(digest, tenant, key.value),
    operation,
    tenant,
    fingerprint: printed.value,
    claimId: crypto.randomUUID(),
    correlationId: correlation.correlationId,
    retentionMs: policy.retention,
    tombstoneMs: policy.tombstone,
  }
  return ok({ key: key.value, body, claim })
}

function refuse(because: Problem, tenant: string | null = null): Result<never, Refused> {
  return err({ problem: because, tenant })
}

/** @returns `null` when the body has more bytes than the limit, declared or sent. */
async function readBody(
  c: Context<GatewayEnv>,
  limitBytes: number,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const request = c.req.raw
  if (Number(request.headers.get('content-length') ?? 0) > limitBytes) return null
  if (request.bodyUsed) {
    // A middleware before has read it; Hono keeps what was read.
    const bytes = new Uint8Array(await c.req.arrayBuffer())
    return bytes.byteLength > limitBytes ? null : bytes
  }
  const collected = await collectBody(request.body, limitBytes)
  if (collected.kind === 'whole') return collected.bytes
  await collected.rest.cancel()
  return null
}

function toFingerprintInput(request: Request, body: Uint8Array) {
  const { pathname: path, search } = new URL(request.url)
  return { method: request.method, path, search, headers: request.headers, body }
}

function toProblem(fault: FingerprintFault): Problem {
  switch (fault.kind) {
    case 'payload-invalid':
      return problem('payload-invalid', fault.reason)
    case 'payload-too-large':
      return tooLarge(fault.limitBytes)
  }
}

function tooLarge(limitBytes: number): Problem {
  return problem(
    'payload-too-large',
    `The body has more than the ${limitBytes} bytes of this route.`,
  )
}
