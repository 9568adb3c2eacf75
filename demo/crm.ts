import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'

import { close, listen } from '../dev/local-server.ts'
import type { Effect } from './origin/ledger-page.ts'

/** A second API, somebody else's: it only knows its own token. */
export interface Crm {
  readonly url: string
  readonly token: string
  /** A contact for each request, repeated or not. */
  readonly effects: readonly Effect[]
  /** Every `Authorization` that arrived. */
  readonly credentials: ReadonlySet<string>
  close(): Promise<void>
}

/** Starts it, with nobody in it. */
export async function startCrm(): Promise<Crm> {
  const token = `crm-${randomUUID()}`
  const effects: Effect[] = []
  const credentials = new Set<string>()
  const server = createServer((request, response) => {
    const { authorization = '' } = request.headers
    credentials.add(authorization)
    if (authorization !== `Bearer ${token}`) return answer(response, 401, { error: 'who?' })
    if (request.method === 'GET') return answer(response, 200, { contacts: effects.length })
    return void create(request, response)
  })
  const create = async (request: IncomingMessage, response: ServerResponse) => {
    const contact = { ...(JSON.parse(await text(request)) as object), id: `con_${randomUUID()}` }
    effects.push(effectOf(request, contact.id))
    answer(response, 201, contact)
  }
  const url = await listen(server)
  return { url, token, effects, credentials, close: () => close(server) }
}

function effectOf({ headers }: IncomingMessage, id: string): Effect {
  const attempt = headers['idempotency-attempt']
  const key = headers['idempotency-key']
  return {
    kind: 'contact',
    key: typeof key === 'string' ? key : null,
    attempt: attempt === undefined ? null : Number(attempt),
    id,
    at: Date.now(),
  }
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
}
