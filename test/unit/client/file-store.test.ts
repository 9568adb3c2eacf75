import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import { fileStore } from '../../../src/client-node.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'hapax-keys-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

const source = path.resolve(import.meta.dirname, '../../../src')

/** A process that pays once, and prints the status. */
const PAYER = `
import { createIdempotentFetch } from '${source}/client.ts'
import { fileStore } from '${source}/client-node.ts'

const [url, directory] = process.argv.slice(2)
const send = createIdempotentFetch({ store: fileStore(directory) })
const response = await send(url, { method: 'POST', body: '{"amount":500}' })
console.log(response.status)
`

describe('fileStore', () => {
  it('keeps the first text of a name until this one is forgotten', async () => {
    const store = fileStore(path.join(directory, 'made', 'here'))
    expect(await store.keep('a', '1')).toBe('1')
    expect(await store.keep('a', '2')).toBe('1')
    await store.forget('a', '2')
    expect(await store.keep('a', '3')).toBe('1')
    await store.forget('a', '1')
    await store.forget('a', '1')
    expect(await store.keep('a', '4')).toBe('4')
    expect(await store.keep('b', '5')).toBe('5')
  })

  it('gives all that come at the same time the same text, and leaves no draft behind', async () => {
    const texts = Array.from({ length: 20 }, (_, index) => String(index))
    const kept = await Promise.all(texts.map(async (text) => fileStore(directory).keep('a', text)))
    expect(new Set(kept).size).toBe(1)
    expect(readdirSync(directory)).toEqual(['a'])
  })

  it('says so when it cannot keep a text', async () => {
    const file = path.join(directory, 'file')
    writeFileSync(file, '')
    await expect(fileStore(path.join(file, 'under')).keep('a', '1')).rejects.toThrow('ENOTDIR')
  })

  it('goes on with the same key after the process was killed', async () => {
    const keys: unknown[] = []
    const payers: ChildProcess[] = []
    const server = createServer((request: IncomingMessage, response: ServerResponse) => {
      keys.push(request.headers['idempotency-key'])
      if (keys.length === 1) payers[0]?.kill('SIGKILL')
      else response.writeHead(201).end()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const script = path.join(directory, 'payer.ts')
    const store = path.join(directory, 'store')
    writeFileSync(script, PAYER)
    const start = () => {
      const args = [script, `http://127.0.0.1:${port}/payments`, store]
      const payer = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
      payers.push(payer)
      return payer
    }
    const [, signal] = await once(start(), 'exit')
    expect(signal).toBe('SIGKILL')
    expect(readdirSync(store)).toHaveLength(1)
    const second = start()
    const [printed] = await once(second.stdout, 'data')
    expect(String(printed)).toBe('201\n')
    server.close()
    expect(keys).toEqual([expect.any(String), keys[0]])
    expect(readdirSync(store)).toEqual([])
  })
})
