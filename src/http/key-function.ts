import type { Context } from 'hono'

import { errorName } from '../core/error-name.ts'
import type { KeySourceOptions, SourceIn } from '../core/key-source.ts'
import type { GatewayEnv } from './gateway-env.ts'

/**
 * The key is what a function reads of the request, its body included: `null` or `undefined` where
 * there is none, and the next source is asked.
 *
 * Where it throws, or returns anything else than a text, the request is refused with 500
 * `gateway-misconfigured`, and nothing is claimed.
 *
 * @param options `scope`: default `'operation'`.
 * @example protect({ key: from((c) => c.req.header('X-Job')?.split('/')[1]) })
 */
export function from(
  read: (c: Context<GatewayEnv>) => string | null | undefined | Promise<string | null | undefined>,
  options: KeySourceOptions = {},
): SourceIn<'function'> {
  return { in: 'function', read, scope: 'operation', ...options }
}

/**
 * Reads the key of a request by the function of its route.
 *
 * @throws {Error} With nothing in its message that the function has said.
 */
export async function readByFunction(
  c: Context<GatewayEnv>,
  source: SourceIn<'function'>,
): Promise<string | null> {
  const key = await call(source, c)
  if (key === null || key === undefined || typeof key === 'string') return key ?? null
  throw new Error('The function of a key has returned something else than a text.')
}

async function call(source: SourceIn<'function'>, c: Context<GatewayEnv>): Promise<unknown> {
  try {
    return await source.read(c)
  } catch (error) {
    throw new Error(`The function of a key threw: ${errorName(error)}.`, { cause: error })
  }
}
