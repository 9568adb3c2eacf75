import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * Lets a server listen on this machine alone. It never ends a connection because that is idle: one
 * that ends just when a request is sent on it loses the request, or its answer.
 *
 * @returns Its URL, without a path.
 */
export async function listen(server: Server, port = 0): Promise<string> {
  server.keepAliveTimeout = 0
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Breaks all connections of a server, and stops it. */
export async function close(server: Server): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  server.closeAllConnections()
  await closed
}
