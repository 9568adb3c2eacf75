import { type Context, Hono } from 'hono'

import { ConfigurationFault } from '../config/configuration-fault.ts'
import type { Contract } from '../core/response/contract.ts'
import { logFault } from '../metrics/log.ts'
import { respond } from './conclude.ts'
import { answerClaims } from './deployed-claims.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { executionCtxOf } from './keep-alive.ts'
import { operationLookup } from './operation-lookup.ts'
import { problemPages } from './problem-pages.ts'
import { handOverScope, pathBelowBase } from './request-scope.ts'
import { misconfigured } from './verdict.ts'
import { appOf, contractOf, serveContract } from './well-known.ts'

const CONTRACT = '/.well-known/idempotency'

/** Adds the routes that Hapax itself serves to every client. @param contractFor Finds the contract of the app that a request came to. */
export function addOwnRoutes(
  app: Hono<GatewayEnv>,
  contractFor: (c: Context<GatewayEnv>) => Contract,
): void {
  app.route('/_hapax/problems', problemPages)
  app.route('/_hapax/operations', operationLookup)
  app.all('/_hapax/claims/*', answerClaims)
  app.get(CONTRACT, (c) => serveContract(c, contractFor(c)))
  app.all(CONTRACT, (c) => c.text('Not found', 404))
}

/** Whether a path, below the base of its app, is one of these. */
export const isOwn = (path: string): boolean =>
  path === CONTRACT || /^\/_hapax\/(?:problems|operations|claims)(?:\/|$)/.test(path)

/** Requests on their way from an app to these routes. */
const handedOver = new WeakMap<Request, Context>()

/** Answers a request with these routes, in whichever app it came to. */
export async function answerOwn(c: Context<GatewayEnv>): Promise<Response> {
  handedOver.set(c.req.raw, c)
  return own.fetch(c.req.raw, c.env, executionCtxOf(c))
}

const own = new Hono<GatewayEnv>({ getPath: (request) => pathBelowBase(senderOf(request)) })
own.use(async function inherit(c, next) {
  handOverScope(senderOf(c.req.raw), c)
  await next()
})
addOwnRoutes(own, contractFor)
own.onError((error, c) => {
  logFault('a page of Hapax could not be served', error)
  return respond(c, misconfigured(error))
})

function senderOf(request: Request): Context {
  const sender = handedOver.get(request)
  if (sender === undefined) throw new Error('Only requests that were handed over come here.')
  return sender
}

function contractFor(c: Context<GatewayEnv>): Contract {
  const app = appOf(c)
  if (app !== undefined) return contractOf(app.routes)
  throw new ConfigurationFault(NO_APP)
}

const NO_APP = 'The contract needs createWorker: export default createWorker(app).'
