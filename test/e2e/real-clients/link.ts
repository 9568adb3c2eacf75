import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** The connection between a client and the gateway, which can be lost. */
export interface Link {
  readonly url: string
  /** The head of every answer that the gateway gave, also of those that got lost. */
  readonly answers: readonly string[]
  /** Resolves when this many requests are on their way to the gateway. */
  sent(count: number): Promise<void>
  /** Resolves when the gateway has given this many answers. */
  answered(count: number): Promise<void>
  close(): Promise<void>
}

/**
 * Opens a link to a gateway.
 *
 * @param lostAnswers Breaks the connection in place of so many answers, the first ones.
 */
export async function openLink(to: string, lostAnswers: number): Promise<Link> {
  const { hostname, port } = new URL(to)
  const answers: string[] = []
  const sockets = new Set<Socket>()
  const requests: Buffer[] = []

  const server = createServer((client) => {
    const gateway = connect(Number(port), hostname)
    for (const [socket, other] of [
      [client, gateway],
      [gateway, client],
    ] as const) {
      sockets.add(socket)
      // Whoever breaks it off, the other side notices.
      socket.on('error', () => {})
      socket.once('close', () => other.destroy())
    }
    // One request after the other: what comes after an answer is the next one.
    let isAnswered = true
    client.on('data', (chunk) => {
      gateway.write(chunk)
      if (!isAnswered) return
      isAnswered = false
      requests.push(chunk)
      server.emit('sent')
    })
    gateway.on('data', (chunk) => {
      if (!isAnswered) {
        isAnswered = true
        answers.push(chunk.toString('latin1'))
        server.emit('answered')
        if (answers.length <= lostAnswers) {
          client.resetAndDestroy()
          return
        }
      }
      client.write(chunk)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answers,
    async sent(count) {
      while (requests.length < count) await once(server, 'sent')
    },
    async answered(count) {
      while (answers.length < count) await once(server, 'answered')
    },
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
