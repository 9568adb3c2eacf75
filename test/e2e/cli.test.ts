import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'

import { listen } from '../../dev/local-server.ts'
import { contractOf } from '../fakes/contract.ts'

const bin = path.resolve(import.meta.dirname, '../../cli/hapax.ts')
const directory = mkdtempSync(path.join(tmpdir(), 'hapax-cli-'))

interface Run {
  readonly code: number
  readonly out: string
  readonly err: string
}

function hapax(...args: readonly string[]): Promise<Run> {
  const { promise, resolve } = Promise.withResolvers<Run>()
  execFile(process.execPath, [bin, ...args], { cwd: directory }, (error, out, err) =>
    resolve({ code: error === null ? 0 : Number(error.code), out, err }),
  )
  return promise
}

const write = (name: string, text: string) => writeFileSync(path.join(directory, name), text)
const read = (name: string) => readFileSync(path.join(directory, name), 'utf8')

const CONTRACT = JSON.stringify(contractOf({ 'POST /pay': {}, 'POST /orders/:id': {} }))
const YAML = `openapi: 3.1.0 # the version
info: { title: Shop, version: '1' }
paths:
  /pay:
    post:
      responses:
        '201': { description: Paid }
`

const server = createServer((request, response) => {
  if (request.url === '/.well-known/idempotency') response.end(CONTRACT)
  else response.writeHead(404).end()
})

let origin = ''
beforeAll(async () => {
  origin = await listen(server)
  write('contract.json', CONTRACT)
  write('api.yaml', YAML)
  write('api.json', JSON.stringify(parse(YAML), null, 4))
})

afterAll(() => {
  server.close()
  rmSync(directory, { recursive: true })
})

describe('hapax openapi', () => {
  it.each([
    { name: 'a deployment', from: () => origin },
    { name: 'the URL of a contract', from: () => `${origin}/.well-known/idempotency` },
    { name: 'a file', from: () => 'contract.json' },
  ])('prints what $name promises', async ({ from }) => {
    const { code, out, err } = await hapax('openapi', '--from', from())
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(Object.keys((JSON.parse(out) as { paths: object }).paths)).toEqual([
      '/pay',
      '/orders/{id}',
    ])
  })

  it('merges into YAML that stays YAML, and again without a change', async () => {
    const args = ['openapi', '--from', 'contract.json', '--into']
    const printed = await hapax(...args, 'api.yaml')
    expect(printed.code).toBe(0)
    expect(printed.err).toBe('hapax: POST /orders/{id}: not in the document; left out.\n')
    expect(printed.out).toContain('openapi: 3.1.0 # the version')
    expect(parse(printed.out)).toHaveProperty(['paths', '/pay', 'post', 'responses', '409'])
    expect(read('api.yaml')).toBe(YAML)
    await hapax(...args, 'api.yaml', '--out', 'merged.yaml')
    expect(read('merged.yaml')).toBe(printed.out)
    expect(await hapax(...args, 'merged.yaml')).toEqual(printed)
  })

  it('merges into JSON that stays JSON, with what it did not have where that is asked for', async () => {
    const args = ['--into', 'api.json', '--add', '--prefix', '/']
    const { code, out, err } = await hapax('openapi', '--from', 'contract.json', ...args)
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(JSON.parse(out)).toHaveProperty(['paths', '/orders/{id}', 'post', 'x-idempotency'])
    expect(out).toMatch(/^\{\n {4}"openapi"/)
  })

  it('writes the fragment as YAML where the file is called so', async () => {
    await hapax('openapi', '--from', 'contract.json', '--out', 'fragment.yaml')
    expect(read('fragment.yaml')).toMatch(/^openapi: 3.1.0\n/)
  })

  it.each([
    { name: 'what cannot be done', args: ['openapi', '--from', 'none.json'], code: 1 },
    { name: 'no command', args: [], code: 2 },
    { name: 'an unknown command', args: ['toString'], code: 2 },
    { name: 'an unknown option', args: ['openapi', '--nonsense'], code: 2 },
  ])('exits with $code for $name, without a stack', async ({ args, code }) => {
    const run = await hapax(...args)
    expect(run).toMatchObject({ code, out: '' })
    expect(run.err).toMatch(/^hapax: /)
    expect(run.err).not.toMatch(/^\s+at /m)
  })

  it.each([{ args: ['--help'] }, { args: ['openapi', '--help'] }])(
    'helps with $args',
    async ({ args }) => {
      const { code, out } = await hapax(...args)
      expect(code).toBe(0)
      expect(out).toMatch(/^Usage: hapax/)
    },
  )
})
