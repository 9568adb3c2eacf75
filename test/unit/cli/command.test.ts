import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { openapi } from '../../../cli/openapi.ts'
import { close, listen } from '../../../dev/local-server.ts'
import { contractOf } from '../../fakes/contract.ts'

const directory = mkdtempSync(path.join(tmpdir(), 'hapax-cli-'))
const CONTRACT = JSON.stringify(contractOf({ 'POST /pay': {} }))
const FILES = {
  'contract.json': CONTRACT,
  'swagger.yaml': 'swagger: "2.0"\n',
  'other.json': '{"a":1}',
  'broken.json': '{"a":',
  'newer.json': CONTRACT.replace('"version":1', '"version":2'),
  'odd.json': CONTRACT.replace('"path":"/pay"', '"path":"/:id{[}"'),
}

const server = createServer((request, response) => {
  if (request.url === '/page') response.end('<p>Hello</p>')
  else response.writeHead(404).end()
})

let port = ''
let closedPort = ''
beforeAll(async () => {
  for (const [name, text] of Object.entries(FILES)) writeFileSync(path.join(directory, name), text)
  const other = createServer()
  closedPort = new URL(await listen(other)).port
  port = new URL(await listen(server)).port
  await close(other)
})

afterAll(() => {
  server.close()
  rmSync(directory, { recursive: true })
})

/** `./` is the directory of the files, `:up` the server, `:down` a port that nobody listens on. */
const run = (args: readonly string[]) =>
  openapi(
    args.map((arg) =>
      arg
        .replace(/^\.\//, `${directory}/`)
        .replace(':up', `:${port}`)
        .replace(':down', `:${closedPort}`),
    ),
  )

describe('openapi', () => {
  it.each([
    { args: ['--from', './none.json'], message: 'File not found' },
    { args: ['--from', './'], message: 'could not be read: EISDIR' },
    { args: ['--from', './broken.json'], message: 'is neither JSON nor YAML' },
    {
      args: ['--from', './other.json'],
      message: 'is not an idempotency contract of version 1: version',
    },
    {
      args: ['--from', './newer.json'],
      message: 'is not an idempotency contract of version 1: version',
    },
    { args: ['--from', './odd.json'], message: 'contains an invalid path' },
    {
      args: ['--from', 'http://127.0.0.1:down'],
      message: 'could not be reached: connect ECONNREFUSED',
    },
    {
      args: ['--from', 'http://127.0.0.1:up'],
      message: 'responded with 404. Check that it is a Hapax deployment.',
    },
    {
      args: ['--from', 'http://127.0.0.1:up/page'],
      message: '/page is not an idempotency contract',
    },
    { args: ['--from', './contract.json', '--into', './none.yaml'], message: 'File not found' },
    { args: ['--from', './contract.json', '--into', './other.json'], message: 'no `openapi: 3.x`' },
    {
      args: ['--from', './contract.json', '--into', './swagger.yaml'],
      message: 'is OpenAPI "2.0"',
    },
    {
      args: ['--from', './contract.json', '--out', './no/x.json'],
      message: 'could not be written: ENOENT',
    },
  ])('says what is wrong with $args', async ({ args, message }) => {
    await expect(run(args)).rejects.toMatchObject({
      name: 'Failure',
      exitCode: 1,
      message: expect.stringContaining(message),
    })
  })

  it.each([
    { args: [] },
    { args: ['--from'] },
    { args: ['--from', './contract.json', '--nonsense'] },
    { args: ['--from', './contract.json', 'more'] },
    { args: ['--from', './contract.json', '--add'] },
    { args: ['--from', 'https://'] },
  ])('takes $args for wrong usage', async ({ args }) => {
    await expect(run(args)).rejects.toMatchObject({ name: 'Failure', exitCode: 2 })
  })
})
