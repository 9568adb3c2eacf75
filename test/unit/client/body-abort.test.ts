import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

import { expect, it } from 'vitest'

import { createIdempotentFetch } from '../../../src/client.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

it('ends a body that is read when the signal is aborted, also when only the reader is left', async () => {
  const server = createServer((_, response) => response.write('begin'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const controller = new AbortController()
  const { signal } = controller
  const send = createIdempotentFetch()
  const readerOf = async () => {
    const response = await send(`http://127.0.0.1:${port}`, { method: 'POST', signal })
    return response.body?.getReader()
  }
  const reader = await readerOf()
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
})
