/** A process of clients that is killed while they wait. It gets over IPC what they are to send. */
import { type Call, CLIENTS, type Target } from './clients.ts'

/** What one client sends. */
export interface Doomed {
  readonly client: string
  readonly target: Target
  readonly call: Call
}

process.once('disconnect', () => process.exit())
process.once('message', (all: readonly Doomed[]) => {
  for (const { client, target, call } of all) {
    const found = CLIENTS.find(({ name }) => name === client)
    void found?.connect(target)(call)
  }
})
