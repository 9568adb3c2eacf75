import type { Context, MiddlewareHandler } from 'hono'

import { parseHost } from '../core/host.ts'
import { logFault } from '../metrics/log.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { requestUrlOf } from './request-url.ts'

/** What is for operators alone. */
const OPERATORS = /^\/_hapax\/(?:admin|dashboard|metrics)(?:\/|$)/

/**
 * Keeps what is for operators apart from what the origin serves. With `HAPAX_OPERATORS_HOST` that
 * host has it and nothing else, and no other host has it: scripts of the origin's pages run on
 * another web origin then.
 *
 * Nothing below `/_hapax` is ever a service worker: it could be a stored response of the origin, and
 * would stand between the operators and their pages.
 */
export const keepApart: MiddlewareHandler<GatewayEnv> = async function keepApart(c, next) {
  const { path } = c.req
  if (path.startsWith('/_hapax/') && c.req.header('Service-Worker') !== undefined) {
    return c.text('Not found', 404)
  }
  const { HAPAX_OPERATORS_HOST: configured } = c.env
  if (!configured) return next()
  const isTheirs = OPERATORS.test(path)
  return isTheirs === isOperatorsHost(c, configured, isTheirs) ? next() : c.text('Not found', 404)
}

/** Compared as hosts of URLs: in any case, and with the default port or without. */
function isOperatorsHost(c: Context<GatewayEnv>, configured: string, isTheirs: boolean): boolean {
  const { protocol, host } = new URL(requestUrlOf(c).origin)
  const wanted = parseHost(configured, protocol)
  if (wanted === null && isTheirs) {
    logFault('nobody reaches what is for operators', new Error(ADVICE))
  }
  return wanted === host
}

const ADVICE = 'HAPAX_OPERATORS_HOST is a host alone, such as ops.example.com.'
