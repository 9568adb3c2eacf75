import type { Context, MiddlewareHandler } from 'hono'
import { matchedRoutes } from 'hono/route'

import { parseHost } from '../core/request/host.ts'
import { logFault } from '../metrics/log.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { requestUrlOf } from './normalized-url.ts'
import { pathBelowBase } from './request-scope.ts'

/** Whether a path belongs to Hapax itself, and so never to the origin or the app's own routes. */
export const isReserved = (path: string) => /^\/_hapax(?:\/|$)/.test(path)

/**
 * Answers 404 to a reserved path, unless the next handler belongs to an app that is mounted at
 * `/_hapax`. So neither a catch-all route nor the origin ever gets such a request.
 */
export const reserve: MiddlewareHandler<GatewayEnv> = async function reserve(c, next) {
  const following = matchedRoutes(c)[c.req.routeIndex + 1]
  return following && isReserved(following.basePath) ? next() : c.text('Not found', 404)
}

/** Paths of the operators. */
const OPERATORS = /^\/_hapax\/(?:admin|dashboard|metrics)(?:\/|$)/

/**
 * Whether a request is not served on its host. If `HAPAX_OPERATORS_HOST` is set, that host serves only
 * the operators' paths, and no other host serves them. Scripts on the origin's pages then run on
 * another web origin.
 *
 * No service worker can be registered below `/_hapax`: a stored response of the origin could become
 * one, and control the operators' pages.
 */
export function isApart(c: Context<GatewayEnv>): boolean {
  const path = pathBelowBase(c)
  if (path.startsWith('/_hapax/') && c.req.header('Service-Worker') !== undefined) return true
  // Tests of an app may ask it without bindings.
  const configured = (c.env as GatewayEnv['Bindings'] | undefined)?.HAPAX_OPERATORS_HOST
  if (!configured) return false
  const isTheirs = OPERATORS.test(path)
  return isTheirs !== isOperatorsHost(c, configured, isTheirs)
}

/** Compares hosts as URLs do: ignoring case and the default port. */
function isOperatorsHost(c: Context<GatewayEnv>, configured: string, isTheirs: boolean): boolean {
  const { protocol, host } = new URL(requestUrlOf(c).origin)
  const wanted = parseHost(configured, protocol)
  if (wanted === null && isTheirs) {
    logFault('nobody reaches what is for operators', new Error(ADVICE))
  }
  return wanted === host
}

const ADVICE = 'HAPAX_OPERATORS_HOST is a host alone, such as ops.example.com.'
