import { once } from 'node:events'
import {
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request,
} from 'node:http'
import { connect } from 'node:net'
import { buffer } from 'node:stream/consumers'

/** A request, sent as it is written here: nothing is added that a test did not ask for. */
export interface Sent {
  readonly method?: string
  /** Path and query, not normalised. */
  readonly path: string
  readonly headers?: OutgoingHttpHeaders
  readonly body?: string | Uint8Array
  readonly signal?: AbortSignal
}

/** An answer, read to its last byte and not decoded. */
export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Every value of a name, in order. */
  all(name: string): readonly string[]
  readonly body: Buffer
  readonly text: string
  json(): unknown
}

/** An answer whose body is still coming. */
export interface Coming {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Resolves with the body so far, as soon as it has so many bytes or has ended. */
  bodyAt(byteCount: number): Promise<string>
  /** Resolves when the body has come to its end, or has broken off. */
  readonly ended: Promise<{ readonly isWhole: boolean; readonly body: Buffer }>
  /** Breaks the connection. */
  hangUp(): void
}

/** Opens a request on a connection of its own, its body not sent yet. */
export function open(baseUrl: string, { method = 'POST', path, headers, signal }: Sent) {
  const { hostname, port } = new URL(baseUrl)
  return request({
    hostname,
    port,
    path,
    method,
    agent: false,
    headers: headers ?? {},
    ...(signal === undefined ? {} : { signal }),
  })
}

/** Sends one request on a connection of its own and reads the answer. Does not retry. */
export async function send(baseUrl: string, sent: Sent): Promise<Reply> {
  const outgoing = open(baseUrl, sent)
  if (sent.body === undefined) outgoing.end()
  else {
    outgoing.setHeader('Content-Length', Buffer.byteLength(sent.body))
    outgoing.end(sent.body)
  }
  return read(await responseTo(outgoing))
}

/** Sends one request and reads what comes from its headers on, however it ends. */
export async function begin(baseUrl: string, sent: Sent): Promise<Coming> {
  const outgoing = open(baseUrl, sent)
  outgoing.end(sent.body)
  const incoming = await responseTo(outgoing)
  const ended = Promise.withResolvers<{ isWhole: boolean; body: Buffer }>()
  const chunks: Buffer[] = []
  const soFar = () => Buffer.concat(chunks)
  outgoing.on('error', () => {})
  incoming.on('error', () => {})
  incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
  incoming.once('close', () => ended.resolve({ isWhole: incoming.complete, body: soFar() }))
  return {
    status: incoming.statusCode ?? 0,
    headers: incoming.headers,
    async bodyAt(byteCount) {
      while (soFar().length < byteCount && !incoming.closed) {
        await Promise.race([once(incoming, 'data'), ended.promise])
      }
      return soFar().toString()
    },
    ended: ended.promise,
    hangUp: () => outgoing.destroy(),
  }
}

/** The answer to a request as soon as its headers are there. */
export async function responseTo(outgoing: ClientRequest): Promise<IncomingMessage> {
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
  return incoming
}

async function read(incoming: IncomingMessage): Promise<Reply> {
  const body = await buffer(incoming)
  return toReply(incoming.statusCode ?? 0, incoming.headers, incoming.rawHeaders, body)
}

/**
 * Sends the bytes of a request as they are given, for what no client library would send.
 *
 * @param head Request line and header fields, without the last empty line; one character a byte.
 */
export async function sendRaw(baseUrl: string, head: readonly string[], body = ''): Promise<Reply> {
  const { hostname, port, host } = new URL(baseUrl)
  const [line = '', ...fields] = head
  const lines = [line, `Host: ${host}`, 'Connection: close', `Content-Length: ${body.length}`]
  const socket = connect(Number(port), hostname)
  socket.write(Buffer.from([...lines, ...fields, '', body].join('\r\n'), 'latin1'))
  return parse(await buffer(socket))
}

function parse(bytes: Buffer): Reply {
  const end = bytes.indexOf('\r\n\r\n')
  const [line = '', ...fields] = bytes.subarray(0, end).toString('latin1').split('\r\n')
  const raw = fields.flatMap((field) => {
    const colon = field.indexOf(':')
    return [field.slice(0, colon), field.slice(colon + 1).trim()]
  })
  const headers: IncomingHttpHeaders = {}
  for (let at = 0; at < raw.length; at += 2) headers[(raw[at] ?? '').toLowerCase()] = raw[at + 1]
  const rest = bytes.subarray(end + 4)
  const isChunked = headers['transfer-encoding'] === 'chunked'
  return toReply(Number(line.split(' ')[1]), headers, raw, isChunked ? unchunk(rest) : rest)
}

function unchunk(bytes: Buffer): Buffer {
  const chunks: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    const size = Number.parseInt(bytes.subarray(at, lineEnd).toString(), 16)
    chunks.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size))
    at = lineEnd + 2 + size + 2
  }
  return Buffer.concat(chunks)
}

function toReply(
  status: number,
  headers: IncomingHttpHeaders,
  raw: readonly string[],
  body: Buffer,
): Reply {
  return {
    status,
    headers,
    all: (name) =>
      raw.filter((_, at) => at % 2 === 1 && raw[at - 1]?.toLowerCase() === name.toLowerCase()),
    body,
    text: body.toString(),
    json: () => JSON.parse(body.toString()) as unknown,
  }
}
