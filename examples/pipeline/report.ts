import { HTTPException } from 'hono/http-exception'

import type { GatewayEnv } from '../../src/hapax.ts'

type Bindings = GatewayEnv['Bindings']

/** What names a report: there is one of each. */
export interface Report {
  readonly account: string
  readonly month: string
}

interface Figure {
  readonly item: string
  readonly cents: number
}

/** Asks the API for the figures of a month, or with HEAD whether there are any. */
export function requestFigures(
  { ORIGIN_URL }: Bindings,
  { account, month }: Report,
  { method, correlationId }: { readonly method: 'GET' | 'HEAD'; readonly correlationId: string },
): Promise<Response> {
  const path = ['figures', account, month].map(encodeURIComponent).join('/')
  return fetch(`${ORIGIN_URL}/${path}`, {
    method,
    headers: { 'X-Correlation-Id': correlationId },
    signal: AbortSignal.timeout(20_000),
  })
}

/**
 * Renders a report and stores it under its name: to do that twice leaves one report.
 *
 * @throws {HTTPException} When nothing was stored: 503 is tried again, anything else is not.
 */
export async function makeReport(
  env: Bindings,
  report: Report,
  correlationId: string,
): Promise<void> {
  const response = await requestFigures(env, report, { method: 'GET', correlationId })
  if (response.status >= 500) throw new HTTPException(503)
  if (!response.ok) throw new HTTPException(422)
  const figures = await response.json<Figure[]>()
  await filesOf(env).put(nameOf(report), render(figures), { customMetadata: { correlationId } })
}

/** A report with its bytes, or `null` while it is not there. */
export function findReport(env: Bindings, report: Report): Promise<R2ObjectBody | null> {
  return filesOf(env).get(nameOf(report))
}

function render(figures: readonly Figure[]): string {
  return ['item,cents', ...figures.map(({ item, cents }) => `${toText(item)},${cents}`), ''].join(
    '\n',
  )
}

/** A name in CSV. A spreadsheet must not take it for a formula. */
function toText(name: string): string {
  const text = /^\s*[=+\-@\t\r\n＝＋－＠]/u.test(name) ? `'${name}` : name
  return /^'|[",;\t\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

const nameOf = ({ account, month }: Report) => `${encodeURIComponent(account)}/${month}.csv`

/** The bucket is a binding of this deployment, not of every gateway. */
const filesOf = (env: Bindings) => (env as unknown as { readonly FILES: R2Bucket }).FILES
