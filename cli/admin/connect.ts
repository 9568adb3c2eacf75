import { toVisible } from '../../src/core/visible.ts'
import { readDeploymentUrl } from '../deployment-url.ts'
import { Failure, reasonOf } from '../failure.ts'

/** A response of the admin API; `null` if it has no body. */
export interface Reply {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>> | null
}

/** Asks the admin API. */
export type Ask = (question: Question) => Promise<Reply>

interface Question {
  readonly method: string
  readonly path: string
  readonly body?: object
}

const ADMIN_PATH = '/_hapax/admin'
const PATIENCE_MS = 30_000
const PROBLEM_TYPE = 'application/problem+json'

/**
 * Connects to the admin API of a deployment.
 *
 * @param url Wins over `HAPAX_URL`.
 * @throws Failure without a URL or credentials. The returned function throws it for an error response.
 */
export function connect(env: NodeJS.ProcessEnv, url: string | undefined): Ask {
  const base = toBase(url ?? env['HAPAX_URL'])
  const credentials = toCredentials(env)
  return async ({ method, path, body }) => {
    const headers = {
      ...credentials,
      Accept: 'application/json',
      'Content-Type': 'application/json',
    }
    const sent = body === undefined ? null : JSON.stringify(body)
    const answer = await send(new URL(ADMIN_PATH + path, base), { method, headers, body: sent })
    return read(answer, base)
  }
}

function toBase(url: string | undefined): URL {
  if (!url) throw new Failure('Specify the deployment with HAPAX_URL or --url.', 2)
  return readDeploymentUrl(url, 'the token')
}

/** Characters of a header. `fetch` would report any other with the secret in its message. */
const VISIBLE = /^[!-~]+$/

function toCredentials(env: NodeJS.ProcessEnv): Record<string, string> {
  const { HAPAX_ADMIN_TOKEN: token, CF_ACCESS_CLIENT_ID: id, CF_ACCESS_CLIENT_SECRET: secret } = env
  const given = {
    ...(token && { Authorization: `Bearer ${token}` }),
    ...(id && secret && { 'CF-Access-Client-Id': id, 'CF-Access-Client-Secret': secret }),
  }
  if (Object.keys(given).length === 0) {
    throw new Failure('Set HAPAX_ADMIN_TOKEN to the admin token of the deployment.', 2)
  }
  const secrets = [token, id, secret].filter((one) => !!one)
  if (!secrets.every((one = '') => VISIBLE.test(one))) {
    throw new Failure('A token must be visible ASCII without spaces and line breaks.', 2)
  }
  return given
}

async function send(url: URL, init: RequestInit): Promise<Response> {
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS)
    // A redirect must not take the token elsewhere.
    return await fetch(url, { ...init, redirect: 'manual', signal })
  } catch (error) {
    throw new Failure(`${url.origin} could not be reached: ${toVisible(reasonOf(error))}`)
  }
}

async function read(answer: Response, base: URL): Promise<Reply> {
  const { status, ok } = answer
  const text = await answer.text().catch((error: unknown) => {
    const reason = toVisible(reasonOf(error))
    throw new Failure(`${base.origin} sent an incomplete response (${status}): ${reason}`)
  })
  const type = answer.headers.get('Content-Type') ?? ''
  if (ok && text === '') return { status, body: null }
  if (ok && type.startsWith('application/json')) return { status, body: parseJson(text, base) }
  throw new Failure(
    toRefusal(status, type.startsWith(PROBLEM_TYPE) ? parseJson(text, base) : null, base),
  )
}

function toRefusal(status: number, problem: Reply['body'], { origin }: URL): string {
  if (problem !== null && status === 401) {
    return `${origin} rejected this token. Use the HAPAX_ADMIN_TOKEN of the deployment or, during a rotation, the previous one.`
  }
  if (problem !== null) return `${toVisible(String(problem['detail']))} (${status})`
  if (status === 404) {
    return `${origin} has no admin API. Check that it is a Hapax deployment, that HAPAX_ADMIN_TOKEN or Cloudflare Access is configured, and whether its operators have a separate host (HAPAX_OPERATORS_HOST).`
  }
  if (status >= 300 && status < 400) {
    return `${origin} redirects (${status}). Behind Cloudflare Access, set CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET.`
  }
  return `${origin} responded with ${status}, which is not a response of the admin API.`
}

function parseJson(text: string, { origin }: URL): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>
  } catch {
    throw new Failure(`${origin} did not respond with JSON.`)
  }
}
