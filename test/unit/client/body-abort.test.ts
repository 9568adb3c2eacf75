import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

import { expect, it } from 'vitest'

import { idempotentTool } from '../../../src/agents.ts'
import { createIdempotentFetch } from '../../../src/client.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Each reads a stream over a `fetch`, with a signal. */
const openers = [
  {
    name: 'createIdempotentFetch',
    open: async (url: string, signal: AbortSignal) =>
      (await createIdempotentFetch()(url, { method: 'POST', signal })).body?.getReader(),
  },
  {
    name: 'the fetch of a tool',
    open: (url: string, signal: AbortSignal) =>
      idempotentTool(
        'read',
        async (_: object, { fetch }) => (await fetch(url, { method: 'POST' })).body?.getReader(),
        { runId: 'run-1' },
      )({}, { signal }),
  },
]

it.each(openers)(
  '$name ends a body that is read when the signal is aborted, also when only the reader is left',
  async ({ open }) => {
    const server = createServer((_, response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('begin')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const controller = new AbortController()
    const reader = await open(`http://127.0.0.1:${port}`, controller.signal)
    expect((await reader?.read())?.done).toBe(false)
    // What is not referenced is collected after the tasks that used it.
    for (let round = 0; round < 5; round++) {
      await new Promise((resolve) => setImmediate(resolve))
      collectGarbage()
    }
    const read = reader?.read()
    controller.abort(new Error('The user left.'))
    await expect(read).rejects.toThrow('The user left.')
    server.closeAllConnections()
    server.close()
  },
)
