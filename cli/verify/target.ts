import { readDeploymentUrl } from '../deployment-url.ts'
import { Failure, reasonOf } from '../failure.ts'

/** A response, read to its end. */
export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly body: string
}

/** A request. It has no key and no credentials but those in its headers. */
interface Ask {
  readonly path: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | null
}

/** A deployment. */
export interface Target {
  /** Its URL, without a slash at the end. */
  readonly base: string
  /** The path of its URL, below which Hapax has its own pages: empty, or with `hapax()` below a path. */
  readonly path: string
  /** Sends a request. @returns The reason as a text when there is no response. */
  readonly ask: (request: Ask) => Promise<Reply | string>
}

const PATIENCE_MS = 40_000

/** @throws Failure when the URL is missing, is none, or would send credentials in clear text. */
export function createTarget(url: string | undefined): Target {
  if (url === undefined) throw new Failure('Specify the deployment with --url.', 2)
  const { origin, pathname } = readDeploymentUrl(url, 'headers')
  const path = pathname.replace(/\/+$/, '')
  return { base: origin + path, path, ask: (request) => send(origin, request) }
}

async function send(origin: string, { path, ...init }: Ask): Promise<Reply | string> {
  try {
    // A redirect must not take the headers elsewhere.
    const options = { redirect: 'manual', signal: AbortSignal.timeout(PATIENCE_MS) } as const
    const answer = await fetch(origin + path, { ...init, ...options })
    return { status: answer.status, headers: answer.headers, body: await answer.text() }
  } catch (error) {
    return reasonOf(error)
  }
}

/** Says what came instead of an expected response: its status and what Hapax says about it. */
export function toSeen(reply: Reply | string): string {
  if (typeof reply === 'string') return `no response (${reply})`
  const { status, headers } = reply
  const words = [headers.get('Hapax-Error'), headers.get('Idempotency-Status')]
  return [status, ...words.filter((word) => word !== null)].join(' ')
}
