import type { Context } from 'hono'

import { ConfigurationFault } from '../config/configuration-fault.ts'
import type { FingerprintFunction } from '../config/policy.ts'
import { errorName } from '../core/error-name.ts'
import { toCanonicalValue } from '../core/fingerprint/canonical-value.ts'
import {
  fingerprint,
  fingerprintOfAny,
  fingerprintOfValue,
  type RequestHead,
  toComparedRequest,
} from '../core/fingerprint/fingerprint.ts'
import type { HeaderField } from '../core/operation/snapshot.ts'
import type { Problem } from '../core/response/problem.ts'
import { ok, type Result } from '../core/result.ts'
import type { Admitted, Exchange } from './exchange.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { requestUrlOf } from './normalized-url.ts'
import { scopeOf } from './request-scope.ts'

/** The fingerprint of a request, and its parts. */
interface Fingerprinted extends Pick<Admitted, 'compared' | 'fields'> {
  readonly fingerprint: string
}

/**
 * Computes the fingerprint of a request by the rules of its route.
 *
 * @throws {ConfigurationFault} If the function of the route throws, or its result cannot be compared.
 */
export async function fingerprintRequest({
  c,
  policy: { fingerprint: rules },
  payload,
  known,
}: Exchange): Promise<Result<Fingerprinted, Problem>> {
  const { digest } = scopeOf(c)
  if (rules === false) {
    const any = fingerprintOfAny(known.operation, digest)
    return ok({ fingerprint: any, compared: null, fields: fieldsOf(c) })
  }
  if (typeof rules === 'function') {
    await payload.restoreTaken()
    const value = toCanonicalValue(await callFunction(c, rules))
    if (value === null) throw new ConfigurationFault(NOT_COMPARABLE)
    // Read after the function, which may change them for the origin.
    const fields = fieldsOf(c)
    const named = fingerprintOfValue(headOf(c, fields), value, digest)
    return ok({ fingerprint: named, compared: null, fields })
  }
  const read = await payload.read()
  if (!read.ok) return read
  const fields = fieldsOf(c)
  const compared = toComparedRequest(headOf(c, fields), read.value, rules)
  return ok({ fingerprint: fingerprint(compared, digest), compared, fields })
}

async function callFunction(c: Context<GatewayEnv>, rules: FingerprintFunction): Promise<unknown> {
  try {
    return await rules(c)
  } catch (error) {
    // Its message may hold what must not be logged.
    throw new ConfigurationFault(`The fingerprint function of a route threw: ${errorName(error)}.`)
  }
}

const NOT_COMPARABLE =
  'The fingerprint function of a route must return a string, a number, a boolean, null, or an array or plain object of those.'

const fieldsOf = (c: Context<GatewayEnv>): readonly HeaderField[] => [...c.req.raw.headers]

function headOf(c: Context<GatewayEnv>, headers: readonly HeaderField[]): RequestHead {
  const { method } = c.req.raw
  const { path, search } = requestUrlOf(c)
  return { method, path, search, headers }
}
