import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** A request, and how to tell that its answer is the one that is meant to be measured. */
export interface Shot {
  readonly path: string
  readonly key: string
  /** Default: a payment, as JSON. */
  readonly body?: string
  /** What the head of the answer must have. */
  readonly expects: RegExp
}

const BODY = JSON.stringify({
  amount: 4_999,
  currency: 'eur',
  customer: { id: 'cus_9s6XKzkNRiz8i3', email: 'jenny.rosen@example.com' },
  items: [
    { sku: 'A-1', quantity: 2, price: 1_500 },
    { sku: 'B-7', quantity: 1, price: 1_999 },
  ],
  description: 'Order 6735',
})

/**
 * A connection that is kept alive and has one request at a time. It does just enough of HTTP/1.1, so
 * that the client takes little of the time that the contenders share.
 */
export class Connection {
  readonly #socket: Socket
  #received = ''
  #answered = Promise.withResolvers<string>()

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('latin1').setNoDelay(true)
    socket.on('data', (text: string) => {
      this.#received += text
      if (isWhole(this.#received)) this.#answered.resolve(this.#received)
    })
    socket.on('error', (cause) => this.#answered.reject(cause))
    socket.on('close', () => this.#answered.reject(new Error('The server hung up.')))
    // Between two requests nobody asks.
    this.#answered.promise.catch(() => {})
  }

  static async open(url: string): Promise<Connection> {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    return new Connection(socket)
  }

  /** Sends a request and reads its answer. @throws {Error} If it is another one than expected. */
  async send({ path, key, body = BODY, expects }: Shot): Promise<void> {
    this.#received = ''
    this.#answered = Promise.withResolvers()
    this.#socket.write(
      `POST ${path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer bench\r\nIdempotency-Key: ${key}\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
    const answer = await this.#answered.promise
    if (!expects.test(answer)) throw new Error(`${path} gave another answer:\n${answer}`)
  }

  close(): void {
    this.#socket.destroy()
  }
}

function isWhole(answer: string): boolean {
  const end = answer.indexOf('\r\n\r\n')
  if (end < 0) return false
  const length = /\r\ncontent-length: (\d+)/i.exec(answer)?.[1]
  if (length === undefined) return answer.endsWith('\r\n0\r\n\r\n')
  return answer.length - end - 4 >= Number(length)
}
