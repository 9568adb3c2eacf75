import { Connection, type Shot } from './connection.ts'

const CONNECTIONS = 32

/** How much came back, and how long that took. */
export interface Load {
  readonly count: number
  readonly seconds: number
}

/** How long a load lasts: for so long, and until there were so many requests. */
export interface Length {
  readonly ms: number
  readonly count: number
}

/** Sends requests on all connections for a while, and waits for the last answers. */
export async function load(url: string, length: Length, next: () => Shot): Promise<Load> {
  const connections = await Promise.all(
    Array.from({ length: CONNECTIONS }, () => Connection.open(url)),
  )
  let count = 0
  const startedAt = performance.now()
  const worker = async (connection: Connection) => {
    while (count < length.count || performance.now() - startedAt < length.ms) {
      await connection.send(next())
      count += 1
    }
  }
  try {
    await Promise.all(connections.map(worker))
    return { count, seconds: (performance.now() - startedAt) / 1_000 }
  } finally {
    for (const connection of connections) connection.close()
  }
}

/** Sends requests one after the other. */
export async function sendEach(url: string, shots: readonly Shot[]): Promise<void> {
  const connection = await Connection.open(url)
  try {
    for (const shot of shots) await connection.send(shot)
  } finally {
    connection.close()
  }
}
