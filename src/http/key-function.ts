import type { Context } from 'hono'

import { errorName } from '../core/error-name.ts'
import type { KeySourceOptions, SourceIn } from '../core/request/key-source.ts'
import type { GatewayEnv } from './gateway-env.ts'

/**
 * Reads the key with a function of the request, including its body. If there is no key, return `null`
 * or `undefined`, and the next source is tried.
 *
 * If the function throws or returns another type, the request is rejected with 500
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

/** Reads the key with the function of a route. @throws {Error} Whose message contains nothing of the function's. */
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
