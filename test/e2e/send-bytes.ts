import { connect } from 'node:net'

import type { Gateway, Origin } from './server.ts'

/** What came back for some bytes, and what of it reached the origin. */
export interface Outcome {
  /** Of every answer on the connection, in order. */
  readonly statuses: readonly number[]
  readonly words: readonly string[]
  readonly text: string
  /** Method and path. */
  readonly effects: readonly string[]
}

/** A gateway and the origin behind it. */
export interface Pair {
  readonly gateway: Pick<Gateway, 'url'>
  readonly origin: Pick<Origin, 'requests'>
}

/**
 * Sends bytes to the gateway as they are and half-closes, so that the server, which would read on,
 * answers everything that it takes for a request and then hangs up.
 */
export async function sendBytes({ gateway, origin }: Pair, bytes: string): Promise<Outcome> {
  const before = origin.requests.length
  const { hostname, port } = new URL(gateway.url)
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  let text = ''
  const socket = connect(Number(port), hostname)
  socket.setEncoding('latin1')
  socket.on('data', (chunk) => (text += String(chunk)))
  // The server may hang up while we write.
  socket.on('error', () => {})
  socket.once('close', () => resolve())
  socket.end(bytes, 'latin1')
  await closed
  return {
    statuses: Array.from(text.matchAll(/^HTTP\/1\.1 (\d{3}) /gm), ([, status]) => Number(status)),
    words: Array.from(text.matchAll(/^idempotency-status: (\S+)\r$/gim), ([, word = '']) => word),
    text,
    effects: origin.requests.slice(before).map(({ method, path }) => `${method} ${path}`),
  }
}

/** A request of HTTP/1.1, line by line. */
export interface Sent {
  readonly line?: string
  readonly host?: string
  /** Further lines of the head, to the letter. */
  readonly lines?: readonly string[]
  /** Everything behind the head, to the letter. */
  readonly rest?: string
}

/** A request with credentials; what frames its body is in `lines`. */
export function bytesOf({
  line = 'POST /payments HTTP/1.1',
  host = 'gateway.test',
  lines = [],
  rest = '',
}: Sent): string {
  const head = [
    line,
    `Host: ${host}`,
    'Authorization: Bearer demo',
    'Content-Type: text/plain',
    ...lines,
  ]
  return [...head, '', rest].join('\r\n')
}
