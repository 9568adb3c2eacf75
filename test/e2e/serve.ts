/**
 * The process of a gateway in tests: Miniflare, which `wrangler dev` runs behind its proxy. It gets
 * its options over IPC, and says there when it listens.
 */
import { flushCompileCache } from 'node:module'

import {
  convertV4MiniflareOptions,
  Log,
  LogLevel,
  Miniflare,
  type V4MiniflareOptions,
} from 'miniflare'

// The test has ended, however it did: workerd is of the same group and ends as well.
process.once('disconnect', () => process.kill(-process.pid, 'SIGKILL'))
process.once('message', (options: V4MiniflareOptions) => {
  listening(options).then(
    () => process.send?.('listening'),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`)
      process.kill(-process.pid, 'SIGKILL')
    },
  )
})

async function listening(options: V4MiniflareOptions): Promise<void> {
  const log = new Log(LogLevel.INFO)
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      ...options,
      log,
      logRequests: false,
      handleStructuredLogs: ({ message }) => process.stdout.write(`${message}\n`),
    }),
  )
  await miniflare.ready
  flushCompileCache()
}
