import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { listen } from '../../dev/local-server.ts'
import { createDigest } from '../../src/core/digest.ts'
import { operationId } from '../../src/core/operation/operation.ts'
import { type Gateway, json, type Origin, startGateway, startOrigin } from './server.ts'

const bin = path.resolve(import.meta.dirname, '../../cli/hapax.ts')
const directory = mkdtempSync(path.join(tmpdir(), 'hapax-admin-'))
const TOKEN = 'operator-token-of-this-test'
const CREDENTIAL = 'Bearer tenant-a'

let origin: Origin
let gateway: Gateway
beforeAll(async () => {
  origin = await startOrigin()
  gateway = await startGateway({ origin, vars: { HAPAX_ADMIN_TOKEN: TOKEN } })
})
afterAll(async () => {
  await gateway.stop()
  await origin.close()
  rmSync(directory, { recursive: true })
})

interface Options {
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly input?: string
}

/** Runs the command as an operator's shell does. */
async function admin(args: readonly string[], { env = {}, input = '' }: Options = {}) {
  const { PATH, NODE_COMPILE_CACHE } = process.env
  const own = { PATH, NODE_COMPILE_CACHE, HAPAX_URL: gateway.url, HAPAX_ADMIN_TOKEN: TOKEN, ...env }
  const child = spawn(process.execPath, [bin, 'admin', ...args], { cwd: directory, env: own })
  child.stdin.end(input)
  const [out, err] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ])
  return { code: child.exitCode, out, err }
}

const pay = (key: string) =>
  gateway.send({
    path: '/payments',
    key,
    body: '{"amount":1}',
    headers: { Authorization: CREDENTIAL },
  })

async function tenantOf(): Promise<string> {
  return createDigest()('credential', 'authorization', CREDENTIAL)
}

const idOf = async (key: string) => operationId(createDigest(), await tenantOf(), key)

/** Leaves an operation whose outcome is unknown. */
async function hold(key: string): Promise<string> {
  origin.on('/payments', json(500, {}))
  await pay(key)
  return idOf(key)
}

/** Waits until an operation is on the list of stuck ones, which it comes to behind the answer. */
async function listed(id: string): Promise<void> {
  const asked = `${gateway.url}/_hapax/admin/stuck`
  const headers = { Authorization: `Bearer ${TOKEN}` }
  const list = async () => (await fetch(asked, { headers })).text()
  await expect.poll(list).toContain(id)
  expect((await admin(['stuck'])).out).toContain(id)
}

describe('hapax admin', () => {
  it('shows an operation with its timeline', async () => {
    const id = await hold('shown')
    const { code, out, err } = await admin(['operation', id])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(/^state +unknown$/m)
    expect(out).toMatch(/^operation +POST \/payments$/m)
    expect(out).toMatch(/^\d{4}-.*Z +ended +fence=1 outcome=unknown originStatus=500$/m)
  })

  it('prints what came, for programs', async () => {
    const id = await hold('json')
    const { out } = await admin(['operation', id, '--json'])
    expect(JSON.parse(out)).toMatchObject({ id, state: 'unknown', timeline: expect.any(Array) })
  })

  it.each([
    { name: 'standard input', args: [], options: { input: 'found\n' } },
    { name: 'the environment', args: [], options: { env: { HAPAX_KEY: 'found' } } },
    { name: 'a file', args: ['--key-file', 'key.txt'], options: {} },
    { name: 'quotes around it', args: [], options: { input: '"found"' } },
    {
      name: 'standard input, with its operation',
      args: ['--operation', 'POST /payments'],
      options: { input: 'found' },
    },
  ])('looks an operation up by a key from $name', async ({ args, options }) => {
    const id = await hold('found')
    writeFileSync(path.join(directory, 'key.txt'), 'found\r\n')
    const run = await admin(['lookup', '--tenant', await tenantOf(), ...args], options)
    expect({ code: run.code, err: run.err }).toEqual({ code: 0, err: '' })
    expect(run.out).toContain(id)
    expect(gateway.log()).not.toContain('found')
  })

  it('takes no key from an argument, and does not repeat it', async () => {
    const run = await admin(['lookup', '--tenant', 't', '--key', 'a-secret-key'])
    expect(run.code).toBe(2)
    expect(run.err).toContain('Other processes can read a key in an argument.')
    expect(run.err).not.toContain('a-secret-key')
  })

  it('lists what is stuck, resolves it as executed, and retries get that', async () => {
    const id = await hold('resolved')
    await listed(id)
    writeFileSync(path.join(directory, 'body.json'), '{"id":7}')
    const response = [
      '--status',
      '201',
      '--header',
      'Content-Type: application/json',
      '--body-file',
      'body.json',
    ]
    const run = await admin(['resolve', id, '--outcome', 'succeeded', ...response])
    expect({ code: run.code, err: run.err }).toEqual({ code: 0, err: '' })
    expect(run.out).toMatch(/^state +succeeded$/m)
    expect(await pay('resolved')).toMatchObject({ status: 201, body: '{"id":7}' })
    expect((await admin(['stuck'])).out).not.toContain(id)
  })

  it('resolves it as not executed, and a retry executes', async () => {
    const id = await hold('freed')
    const { code, out } = await admin(['resolve', id, '--outcome', 'not_executed'])
    expect({ code, out }).toEqual({
      code: 0,
      out: 'Resolved as not executed. Its key is free.\n',
    })
    origin.on('/payments', json(201, { id: 8 }))
    expect(await pay('freed')).toMatchObject({ status: 201, body: '{"id":8}' })
  })

  it('says why something is refused', async () => {
    const id = await hold('refused')
    const { code, out, err } = await admin(['release', id])
    expect({ code, out, err }).toEqual({
      code: 1,
      out: '',
      err: 'hapax: Only an operation in progress is released; this one is unknown. (409)\n',
    })
  })

  it('erases only where that is meant', async () => {
    const id = await hold('erased')
    const asked = await admin(['erase', id])
    expect([asked.code, asked.err]).toEqual([2, expect.stringContaining('Add --yes')])
    expect((await admin(['operation', id])).code).toBe(0)
    expect(await admin(['erase', id, '--yes'])).toMatchObject({ code: 0, err: '' })
    expect(await admin(['operation', id])).toMatchObject({
      code: 1,
      err: 'hapax: There is nothing of this name. (404)\n',
    })
  })

  it('says that there are no dead letters, and of one that is not there that it is not', async () => {
    expect((await admin(['dead-letters'])).out).toBe('No dead letters.\n')
    expect(JSON.parse((await admin(['dead-letters', '--json'])).out)).toEqual({
      entries: [],
      next: null,
      total: 0,
    })
    for (const args of [
      ['dead-letters', 'a/b?c'],
      ['replay', 'a/b'],
      ['drop', '..', '--yes'],
    ]) {
      expect((await admin(args)).code).toBe(1)
    }
  })

  it.each([
    {
      name: 'no deployment',
      options: { env: { HAPAX_URL: undefined } },
      code: 2,
      says: 'Specify the deployment with HAPAX_URL or --url.',
    },
    {
      name: 'no URL',
      options: { env: { HAPAX_URL: 'payments' } },
      code: 2,
      says: 'payments is not a URL',
    },
    {
      name: 'a token that would go in clear',
      options: { env: { HAPAX_URL: 'http://api.example' } },
      code: 2,
      says: 'Use https.',
    },
    {
      name: 'no token',
      options: { env: { HAPAX_ADMIN_TOKEN: undefined } },
      code: 2,
      says: 'Set HAPAX_ADMIN_TOKEN',
    },
    {
      name: 'a token with a line end',
      options: { env: { HAPAX_ADMIN_TOKEN: 'secret\nword' } },
      code: 2,
      says: 'visible ASCII',
    },
    {
      name: 'a wrong token',
      options: { env: { HAPAX_ADMIN_TOKEN: 'secret-word' } },
      code: 1,
      says: 'rejected this token',
    },
    {
      name: 'nobody there',
      options: { env: { HAPAX_URL: 'http://127.0.0.1:9' } },
      code: 1,
      says: 'could not be reached',
    },
  ])(
    'ends with $code, a sentence and no stack where there is $name',
    async ({ options, code, says }) => {
      const run = await admin(['stuck'], options)
      expect(run).toMatchObject({ code, out: '' })
      expect(run.err).toContain(says)
      expect(run.err).not.toMatch(/secret|^ +at /m)
    },
  )

  it.each([
    { name: 'no command', args: [] },
    { name: 'an unknown command', args: ['toString'] },
    { name: 'an unknown option', args: ['stuck', '--nonsense'] },
    { name: 'no id', args: ['operation'] },
    { name: 'two ids', args: ['operation', 'a', 'b'] },
    { name: 'an id that is of no use', args: ['stuck', 'a'] },
    { name: 'no outcome', args: ['resolve', 'a'] },
    { name: 'an outcome that nobody knows', args: ['resolve', 'a', '--outcome', 'unknown'] },
    { name: 'no status', args: ['resolve', 'a', '--outcome', 'failed'] },
    {
      name: 'a response of nothing',
      args: ['resolve', 'a', '--outcome', 'not_executed', '--status', '201'],
    },
    {
      name: 'a header without a colon',
      args: ['resolve', 'a', '--outcome', 'failed', '--status', '402', '--header', 'x'],
    },
    { name: 'a limit of 0', args: ['stuck', '--limit', '0'] },
    { name: 'a limit of 101', args: ['stuck', '--limit', '101'] },
    { name: 'no tenant', args: ['lookup'] },
    { name: 'an empty key', args: ['lookup', '--tenant', 't'] },
    { name: 'a drop that may not be meant', args: ['drop', 'a'] },
  ])('ends with 2 for $name', async ({ args }) => {
    expect(await admin(args)).toMatchObject({ code: 2, out: '' })
  })

  it('tells a deployment without an admin API, one behind Access, and something else, from each other', async () => {
    const answers: Record<string, [number, Record<string, string>, string]> = {
      none: [404, { 'Content-Type': 'text/plain;charset=UTF-8' }, 'Not found'],
      access: [302, { Location: 'https://team.cloudflareaccess.com/' }, ''],
      other: [200, { 'Content-Type': 'text/html' }, '<html>'],
    }
    const seen: unknown[] = []
    let which = ''
    const server = createServer((request, response) => {
      seen.push(request.headers['cf-access-client-id'])
      const [status, headers, body] = answers[which] ?? [500, {}, '']
      response.writeHead(status, headers).end(body)
    })
    const url = await listen(server)
    const says: Record<string, string> = {}
    for (which of Object.keys(answers)) {
      const env = {
        HAPAX_ADMIN_TOKEN: undefined,
        CF_ACCESS_CLIENT_ID: 'id',
        CF_ACCESS_CLIENT_SECRET: 's',
      }
      const run = await admin(['stuck', '--url', url], { env })
      expect(run.code).toBe(1)
      says[which] = run.err
    }
    server.close()
    expect(says).toEqual({
      none: expect.stringContaining('has no admin API'),
      access: expect.stringContaining('Behind Cloudflare Access, set CF_ACCESS_CLIENT_ID'),
      other: expect.stringContaining(
        'responded with 200, which is not a response of the admin API',
      ),
    })
    expect(seen).toEqual(['id', 'id', 'id'])
  })

  it('leaves an audit in the log of the server, without the token', async () => {
    const id = await hold('audited')
    await admin(['resolve', id, '--outcome', 'not_executed'])
    const line = `{"message":"audit","action":"resolved","actor":"token","operation":"POST /payments"`
    await gateway.written(line)
    expect(gateway.log()).not.toContain(`Bearer ${TOKEN}`)
  })
})
