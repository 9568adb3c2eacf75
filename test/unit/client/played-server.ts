import type { IdempotentFetchOptions } from '../../../src/client.ts'

/** What the server does with a try: answers, loses the connection, or something of its own. */
export type Play = Response | Error | ((request: Request) => Response | Promise<Response>)

/** What arrives of one try. */
interface Try {
  readonly method: string
  readonly url: string
  readonly headers: Headers
  readonly body: string
  /** Milliseconds since the first try. */
  readonly at: number
}

/** 2026-11-29T00:00:00Z: the time of the first try. */
export const START = Date.UTC(2026, 10, 29)

/**
 * A server that does one thing after the other, with a clock that only waiting moves on. By chance,
 * each delay is the longest that its bound allows.
 */
export function playServer(...plays: readonly Play[]) {
  const tries: Try[] = []
  let now = START
  const options = {
    async fetch(request) {
      const { method, url, headers } = request
      const play = plays[tries.length] ?? new Response('too many tries', { status: 599 })
      tries.push({ method, url, headers, body: await request.text(), at: now - START })
      if (play instanceof Error) throw play
      return typeof play === 'function' ? play(request) : play
    },
    now: () => now,
    random: () => 1 - Number.EPSILON,
    async sleep(ms) {
      now += ms
    },
  } satisfies IdempotentFetchOptions
  const fieldsOf = (name: string) => tries.map(({ headers }) => headers.get(name))
  /** Lets time pass. */
  const pass = (ms: number) => {
    now += ms
  }
  return { options, tries, fieldsOf, pass }
}

/** What `fetch` throws where the connection is lost. */
export const lost = () => new TypeError('fetch failed')

/** An answer of the API itself, or of something in between. */
export const answer = (status: number, headers: Record<string, string> = {}) =>
  new Response(`status ${status}`, { status, headers })

/** A problem of the gateway, without the headers that say the same. */
export function problem(
  status: number,
  members: object,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const type = 'application/problem+json'
  return Response.json(members, { status, headers: { 'Content-Type': type, ...headers } })
}
