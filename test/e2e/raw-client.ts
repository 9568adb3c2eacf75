import { connect, type Socket } from 'node:net'

/** A request that goes over the wire as it stands here, with nothing added but what is said. */
export interface RawRequest {
  /** Default POST. */
  method?: string
  path: string
  /** The idempotency key; none, when left out. */
  key?: string
  /** Sent as `application/json`. */
  body?: string
  /** Further header lines, behind Host, Connection and `Authorization: Bearer demo`. */
  headers?: Readonly<Record<string, string>>
}

/** What came over the wire before the body. Bytes are read as Latin-1, so that none is lost. */
interface RawHead {
  readonly statusLine: string
  /** As they came: order, case and repetitions. */
  readonly headerLines: readonly string[]
}

/** How the end of a body is told. */
type Framing = 'chunked' | 'length' | 'close' | 'none'

/** An answer as it came over the wire, up to its end. */
export interface RawAnswer extends RawHead {
  /** Heads of 1xx answers that came before. */
  readonly interim: readonly RawHead[]
  readonly framing: Framing
  /** Without the framing of chunks. */
  readonly body: Buffer
  readonly trailerLines: readonly string[]
  /** Whether the body came to the end that its framing announced. */
  readonly isWhole: boolean
}

/** One request and its answer on a connection of its own. */
export interface RawExchange {
  /** Resolves when the head of the answer is there. */
  readonly head: Promise<RawHead>
  /** Resolves with the answer when it is whole, or when the connection is gone. */
  readonly ended: Promise<RawAnswer>
  /** Resolves with the body so far, as soon as it has so many bytes or has ended. */
  bodyAt(byteCount: number): Promise<string>
  /** Breaks the connection. */
  hangUp(): void
}

/** Sends a request over a socket and reads what comes, to the last byte. */
export function openRaw(baseUrl: string, request: RawRequest): RawExchange {
  const { hostname, port, host } = new URL(baseUrl)
  const socket = connect(Number(port), hostname)
  const reader = new AnswerReader(request.method === 'HEAD')
  const head = Promise.withResolvers<RawHead>()
  const ended = Promise.withResolvers<RawAnswer>()
  // Nobody has to wait for a head.
  head.promise.catch(() => {})
  let changed = Promise.withResolvers<void>()
  const look = () => {
    if (reader.head !== null) head.resolve(reader.head)
    if (reader.isWhole) socket.destroy()
    changed.resolve()
    changed = Promise.withResolvers<void>()
  }
  socket.on('error', () => {})
  socket.on('data', (bytes) => {
    reader.read(bytes)
    look()
  })
  socket.once('close', () => {
    reader.close()
    look()
    if (reader.head === null) head.reject(new Error('The connection ended before any answer.'))
    ended.resolve(reader.answer())
  })
  write(socket, host, request)
  return {
    head: head.promise,
    ended: ended.promise,
    async bodyAt(byteCount) {
      while (reader.bodyBytes < byteCount && !reader.isWhole && !socket.destroyed) {
        await changed.promise
      }
      return reader.answer().body.toString()
    },
    hangUp: () => socket.destroy(),
  }
}

/** Sends a request and waits for the end of its answer. */
export function sendRaw(baseUrl: string, request: RawRequest): Promise<RawAnswer> {
  return openRaw(baseUrl, request).ended
}

/** The values of a header, by its name in any case. */
export function rawValues({ headerLines }: RawHead, name: string): string[] {
  return headerLines
    .map((line) => splitLine(line))
    .filter((field) => field.name === name.toLowerCase())
    .map(({ value }) => value)
}

/** The value of a header that is there once, or not at all. */
export function rawValue(head: RawHead, name: string): string | undefined {
  const values = rawValues(head, name)
  if (values.length > 1) throw new Error(`${name} is there ${values.length} times.`)
  return values[0]
}

/** The status of an answer. */
export function rawStatus({ statusLine }: RawHead): number {
  return Number(statusLine.split(' ')[1])
}

function splitLine(line: string): { name: string; value: string } {
  const colon = line.indexOf(':')
  return { name: line.slice(0, colon).toLowerCase(), value: line.slice(colon + 1).trim() }
}

function write(socket: Socket, host: string, request: RawRequest): void {
  const { method = 'POST', path, key, body, headers } = request
  const fields = {
    Host: host,
    Connection: 'close',
    Authorization: 'Bearer demo',
    ...(key === undefined ? {} : { 'Idempotency-Key': key }),
    ...(body === undefined
      ? {}
      : { 'Content-Type': 'application/json', 'Content-Length': String(Buffer.byteLength(body)) }),
    ...headers,
  }
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}`)
  socket.write([`${method} ${path} HTTP/1.1`, ...lines, '', ''].join('\r\n'), 'latin1')
  if (body !== undefined) socket.write(body)
}

/** Reads an answer of HTTP/1.1 as its bytes come. */
class AnswerReader {
  readonly #isHead: boolean
  #pending: Buffer = Buffer.alloc(0)
  #step: 'head' | 'body' | 'chunk-size' | 'chunk' | 'trailers' | 'whole' = 'head'
  #head: RawHead | null = null
  readonly #interim: RawHead[] = []
  #framing: Framing = 'none'
  readonly #body: Buffer[] = []
  /** Of the body, or of the chunk, with the line end behind it. */
  #missingBytes = 0
  #trailerLines: readonly string[] = []
  bodyBytes = 0

  constructor(isHead: boolean) {
    this.#isHead = isHead
  }

  get head(): RawHead | null {
    return this.#head
  }

  get isWhole(): boolean {
    return this.#step === 'whole'
  }

  read(bytes: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, bytes])
    while (this.#advance());
  }

  /** The connection has ended. */
  close(): void {
    if (this.#step === 'body' && this.#framing === 'close') this.#step = 'whole'
  }

  answer(): RawAnswer {
    return {
      ...(this.#head ?? { statusLine: '', headerLines: [] }),
      interim: this.#interim,
      framing: this.#framing,
      body: Buffer.concat(this.#body),
      trailerLines: this.#trailerLines,
      isWhole: this.isWhole,
    }
  }

  /** Takes one piece off what is pending. @returns Whether there may be another one. */
  #advance(): boolean {
    switch (this.#step) {
      case 'head':
        return this.#readHead()
      case 'body':
        return this.#readBody()
      case 'chunk-size':
        return this.#readChunkSize()
      case 'chunk':
        return this.#readChunk()
      case 'trailers':
        return this.#readTrailers()
      case 'whole':
        return false
    }
  }

  #readHead(): boolean {
    const [statusLine, ...headerLines] = this.#takeUpTo('\r\n\r\n')?.split('\r\n') ?? []
    if (statusLine === undefined) return false
    const head = { statusLine, headerLines }
    if (rawStatus(head) < 200) {
      this.#interim.push(head)
      return true
    }
    this.#head = head
    this.#begin(head)
    return true
  }

  #begin(head: RawHead): void {
    const length = rawValue(head, 'Content-Length')
    if (this.#isHead || [204, 304].includes(rawStatus(head))) this.#step = 'whole'
    else if (rawValue(head, 'Transfer-Encoding') === 'chunked') {
      this.#framing = 'chunked'
      this.#step = 'chunk-size'
    } else {
      this.#framing = length === undefined ? 'close' : 'length'
      this.#missingBytes = length === undefined ? Infinity : Number(length)
      this.#step = this.#missingBytes === 0 ? 'whole' : 'body'
    }
  }

  #readBody(): boolean {
    this.#keep(this.#take(this.#missingBytes))
    if (this.#missingBytes === 0) this.#step = 'whole'
    return false
  }

  #readChunkSize(): boolean {
    const line = this.#takeUpTo('\r\n')
    if (line === null) return false
    const size = Number.parseInt(line, 16)
    this.#step = size === 0 ? 'trailers' : 'chunk'
    this.#missingBytes = size + 2
    return true
  }

  #readChunk(): boolean {
    if (this.#missingBytes > 2) this.#keep(this.#take(this.#missingBytes - 2))
    if (this.#missingBytes > 2 || this.#pending.length < 2) return false
    this.#take(2)
    this.#step = 'chunk-size'
    return true
  }

  #readTrailers(): boolean {
    const line = this.#takeUpTo('\r\n')
    if (line === null) return false
    if (line === '') this.#step = 'whole'
    else this.#trailerLines = [...this.#trailerLines, line]
    return true
  }

  #keep(bytes: Buffer): void {
    this.#missingBytes -= bytes.length
    this.bodyBytes += bytes.length
    this.#body.push(bytes)
  }

  #take(most: number): Buffer {
    const taken = this.#pending.subarray(0, most)
    this.#pending = this.#pending.subarray(taken.length)
    return taken
  }

  #takeUpTo(mark: string): string | null {
    const at = this.#pending.indexOf(mark, 0, 'latin1')
    if (at === -1) return null
    const text = this.#take(at).toString('latin1')
    this.#take(mark.length)
    return text
  }
}
