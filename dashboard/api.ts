import { cut } from './text.ts'

const TOKEN = 'hapax-admin-token'

/** The caller is no operator, or not any more. */
export class SignInNeeded extends Error {
  override readonly name = 'SignInNeeded'
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
 * Asks the admin API. Without a token too: behind Cloudflare Access there is none.
 *
 * @throws {SignInNeeded} When it lets nobody in without one.
 * @throws {Error} With what it says, for people, when it cannot answer.
 */
export async function ask<answer>(path: string): Promise<answer> {
  const token = sessionStorage.getItem(TOKEN)
  const headers = { Accept: 'application/json', ...(token && { Authorization: `Bearer ${token}` }) }
  const response = await fetch(`/_hapax/admin${path}`, { headers })
  if (response.status === 401) throw new SignInNeeded()
  const answer = (await response.json().catch(() => null)) as { detail?: string } | null
  if (response.ok) return answer as answer
  throw new Error(cut(answer?.detail ?? `The gateway answered ${response.status}.`))
}

/** What the page is narrowed to. */
export interface Filters {
  readonly since: string
  readonly route: string
  readonly tenant: string
}

/** Whether a route or a tenant was chosen: what the page shows is then not of all of them. */
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
}

/** Asks a named query. */
export function query<row>(name: string, filters: Filters): Promise<Found<row>> {
  return ask(`/analytics/${name}?${new URLSearchParams({ ...filters })}`)
}
