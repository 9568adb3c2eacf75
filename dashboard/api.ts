import { cut } from './page.ts'

const TOKEN = 'hapax-admin-token'

/** The caller is no operator, or not any more. */
export class SignInNeeded extends Error {
  override readonly name = 'SignInNeeded'
}

/** The deployment has no Analytics Engine to ask. */
export class NotConfigured extends Error {
  override readonly name = 'NotConfigured'
}

/** Keeps the token of this tab. */
export function signIn(token: string): void {
  sessionStorage.setItem(TOKEN, token)
}

/** Forgets the token. */
export function signOut(): void {
  sessionStorage.removeItem(TOKEN)
}

/** Whether a token is kept, which may be a wrong one. */
export function isSignedIn(): boolean {
  return sessionStorage.getItem(TOKEN) !== null
}

/**
 * Asks the admin API, without a token behind Cloudflare Access.
 *
 * @throws {SignInNeeded} When it rejects the token, or needs one.
 * @throws {NotConfigured} When the deployment has no analytics.
 * @throws {Error} With a message for people, when it cannot answer.
 */
export async function ask<answer>(path: string): Promise<answer> {
  const token = sessionStorage.getItem(TOKEN)
  const headers = { Accept: 'application/json', ...(token && { Authorization: `Bearer ${token}` }) }
  const response = await send(`/_hapax/admin${path}`, headers)
  if (response.status === 401) throw new SignInNeeded()
  const answer = (await response.json().catch(() => null)) as Problem | null
  if (response.ok && answer !== null) return answer as answer
  if (answer?.code === 'analytics-not-configured') throw new NotConfigured(cut(answer.detail ?? ''))
  throw new Error(cut(answer?.detail ?? `The gateway responded with ${response.status}.`))
}

interface Problem {
  readonly detail?: string
  readonly code?: string
}

/** Longer than the admin API itself waits for anybody. */
const PATIENCE_MS = 25_000

async function send(path: string, headers: Record<string, string>): Promise<Response> {
  try {
    return await fetch(path, { headers, signal: AbortSignal.timeout(PATIENCE_MS) })
  } catch {
    throw new Error('The gateway did not respond.')
  }
}

/** What the page is narrowed to. */
export interface Filters {
  readonly since: string
  readonly route: string
  readonly tenant: string
}

/** Whether a route or a tenant was chosen, so that the page does not show all of them. */
export function isNarrowed({ route, tenant }: Filters): boolean {
  return route !== '' || tenant !== ''
}

/** What a named query has found. */
export interface Found<row> {
  readonly rows: readonly row[]
  /** Where the range of time begins, RFC 3339. */
  readonly since: string
  /** Width of a bucket of a time series. */
  readonly bucketSeconds: number
  /** Whether there are more rows than the query shows. */
  readonly isCut?: boolean
}

/** Asks a named query. */
export function query<row>(name: string, filters: Filters): Promise<Found<row>> {
  return ask(`/analytics/${name}?${new URLSearchParams({ ...filters })}`)
}
