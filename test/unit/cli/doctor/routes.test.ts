import { createServer, type Server } from 'node:http'

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'

import type { Finding } from '../../../../cli/doctor/finding.ts'
import { close, listen } from '../../../../dev/local-server.ts'
import { contractOf, keyOf } from '../../../fakes/contract.ts'
import {
  type Case,
  examine,
  type Files,
  findingsOf,
  GOOD,
  MAIN,
  runDoctor,
  TOML,
} from './project-files.ts'

const SECRET = 'a-secret-that-nobody-may-see'

const withMain = (text: string): Files => ({ ...GOOD, 'src/index.ts': `${text}\n${MAIN}` })
const withLocal = (text: string): Files => ({
  ...GOOD,
  '.dev.vars': `${GOOD['.dev.vars'] ?? ''}${text}\n`,
})

describe('secrets', () => {
  it.each<Case>([
    {
      when: 'one is in the configuration',
      files: {
        ...GOOD,
        'wrangler.toml': TOML.replace('[vars]', `[vars]\nHAPAX_ADMIN_TOKEN = "${SECRET}"`),
      },
      expected: {
        rule: 'secret-in-vars',
        severity: 'error',
        change: { file: 'wrangler.toml', line: 7, how: 'remove', text: '' },
      },
    },
    {
      when: 'one is too short',
      files: withLocal(`export HAPAX_ADMIN_TOKEN=${SECRET}`),
      expected: {
        rule: 'secret-short',
        severity: 'warning',
        change: { file: '.dev.vars', line: 2, how: 'replace', text: 'HAPAX_ADMIN_TOKEN="…"' },
      },
    },
    {
      when: 'one of several tokens is too short',
      files: withLocal(`HAPAX_CLAIMS_TOKEN={"acme":"${SECRET}","other":"${'o'.repeat(40)}"}`),
      expected: { rule: 'secret-short', what: expect.stringContaining('HAPAX_CLAIMS_TOKEN') },
    },
    {
      when: 'one has a wrong form',
      files: withLocal(`HAPAX_WEBHOOK_SECRET=${SECRET}`),
      expected: { rule: 'variable-malformed', severity: 'error' },
    },
    {
      when: 'one is of no use without another',
      files: withLocal(`HAPAX_SEAL_KEY_PREVIOUS=${SECRET}-and-a-few-more`),
      expected: { what: 'HAPAX_SEAL_KEY_PREVIOUS is set without HAPAX_SEAL_KEY.' },
    },
    {
      when: 'wrangler dev will not read one',
      files: {
        ...withLocal(`HAPAX_ADMIN_TOKEN=${SECRET}-and-a-few-more`),
        'wrangler.toml': `${TOML}\n[secrets]\nrequired = ["HAPAX_DIGEST_KEY"]\n`,
      },
      expected: { rule: 'secret-not-listed', severity: 'warning' },
    },
    {
      when: 'a route seals and there is no key',
      files: withMain(
        "import { idempotent } from 'hapax'\nidempotent({ snapshot: { seal: true } })",
      ),
      expected: {
        rule: 'secret-missing',
        what: 'HAPAX_SEAL_KEY is not set in .dev.vars. It is needed by src/index.ts:2.',
      },
    },
    {
      when: 'a route stores requests and there is no key',
      files: {
        ...withMain("import './other.js'"),
        'src/other.ts': "import { protect } from 'hapax'\n\nprotect({ durable: true })",
      },
      expected: { rule: 'secret-missing', what: expect.stringContaining('src/other.ts:3') },
    },
    {
      when: 'one is named and not set',
      files: withMain("import { secret } from 'hapax'\nsecret('CRM_TOKEN')"),
      expected: {
        rule: 'secret-missing',
        what: expect.stringContaining('CRM_TOKEN'),
        why: expect.stringMatching(/Set it with: npx wrangler secret put CRM_TOKEN$/),
      },
    },
    {
      when: 'digests have no key',
      files: { ...GOOD, '.dev.vars': 'HAPAX_DIGEST_KEY=\n' },
      expected: { rule: 'digest-key-missing', severity: 'note' },
    },
    {
      when: 'the file of the environment replaces the other one',
      files: {
        ...GOOD,
        'wrangler.toml': `${TOML}\n[env.staging]\n`,
        '.dev.vars.staging': `HAPAX_SEAL_KEY=${SECRET}`,
      },
      args: ['--env', 'staging'],
      expected: {
        rule: 'secret-short',
        change: expect.objectContaining({ file: '.dev.vars.staging' }),
      },
    },
  ])('are reported, and never printed, when $when', async ({ files, args = [], expected }) => {
    const findings = await findingsOf(files, ...args)
    expect(findings).toContainEqual(expect.objectContaining(expected))
    expect(JSON.stringify(findings)).not.toContain(SECRET)
    expect((await runDoctor(files, '--offline', ...args)).out).not.toContain(SECRET)
  })
})

describe('--remote', () => {
  const wrangler = (script: string): Files => ({
    ...GOOD,
    'node_modules/wrangler/bin/wrangler.js': script,
  })

  it('takes the names of the deployed secrets, with the Wrangler of the project', async () => {
    const script = `if (process.argv.slice(2).join(' ') === 'secret list --format json --env staging')
      console.log('[{"name":"HAPAX_SEAL_KEY","type":"secret_text"}]')`
    const files = {
      ...wrangler(script),
      ...withMain("import { idempotent } from 'hapax'\nidempotent({ durable: true })"),
      'node_modules/wrangler/bin/wrangler.js': script,
      'wrangler.toml': `${TOML}\n[env.staging]\n`,
    }
    const { findings, notChecked } = await examine(files, '--remote', '--env', 'staging')
    const rules = findings.map(({ rule, severity }) => `${severity} ${rule}`)
    expect(rules).toContain('warning digest-key-missing')
    expect(rules.join()).not.toContain('secret-missing')
    expect(notChecked.map(({ check }) => check)).not.toContain('deployed-secrets')
  })

  it('says that they were not checked if nobody is logged in', async () => {
    const files = wrangler('console.error("You are not logged in."); process.exit(1)')
    const { notChecked } = await examine(files, '--remote')
    expect(notChecked).toContainEqual({
      check: 'deployed-secrets',
      reason: 'wrangler secret list failed: You are not logged in.',
    })
  })
})

describe('routes in the sources', () => {
  it('with a tenant for everybody are reported', async () => {
    const files = withMain("import { anonymous as all } from 'hapax'\nexport const tenant = all()")
    expect(await findingsOf(files)).toEqual([
      expect.objectContaining({
        rule: 'tenant-anonymous',
        severity: 'warning',
        change: {
          file: 'src/index.ts',
          line: 2,
          how: 'replace',
          text: "credential('Authorization')",
        },
      }),
    ])
  })

  it.each([
    { options: "{ retention: '23h' }", expected: ['retention-short'] },
    { options: "{ retention: '24h' }", expected: [] },
    { options: "{ retention: '1h', tombstone: '23h' }", expected: [] },
    { options: "{ retention: '1h', tombstone: '22h' }", expected: ['retention-short'] },
  ])('that forget too early are reported: $options', async ({ options, expected }) => {
    const files = withMain(`import { idempotent } from 'hapax'\nidempotent(${options})`)
    expect((await findingsOf(files)).map(({ rule }) => rule)).toEqual(expected)
  })

  it.each([
    { retention: '95h', expected: ['retention-short'] },
    { retention: '4d', expected: [] },
  ])(
    'for messages remember as long as a queue keeps them: $retention',
    async ({ retention, expected }) => {
      const files = withMain(
        `import { consume } from 'hapax'\nconsume({}, { retention: '${retention}' })`,
      )
      expect((await findingsOf(files)).map(({ rule }) => rule)).toEqual(expected)
    },
  )
})

describe('--url', () => {
  let server: Server
  let url = ''
  let contract: object = {}
  let asked: string[] = []
  const LINE = { file: 'src/index.ts', line: 4 }

  beforeAll(async () => {
    server = createServer((request, response) => {
      asked.push(request.url ?? '')
      response.end(JSON.stringify(contract))
    })
    url = await listen(server)
  })
  afterAll(() => close(server))

  it.each([
    {
      when: 'a route has no tenant',
      over: { tenant: false },
      rule: 'tenant-missing',
      severity: 'error',
    },
    {
      when: 'a route forgets too early',
      over: { retentionSeconds: 86_399 },
      rule: 'retention-short',
      severity: 'warning',
    },
    {
      when: 'a route only observes',
      over: { mode: 'observe' as const },
      rule: 'route-observed',
      severity: 'note',
    },
    {
      when: 'a route takes requests without a key',
      over: { key: keyOf({ required: false }) },
      rule: 'key-optional',
      severity: 'note',
    },
  ])('reports the line of the route when $when', async ({ over, rule, severity }) => {
    contract = contractOf({ 'POST /api/payments': over })
    const findings = await findingsOf(GOOD, '--url', url)
    expect(findings).toEqual([
      expect.objectContaining({
        rule,
        severity,
        what: expect.stringContaining('POST /api/payments'),
      }),
    ])
    expect(findings[0]?.change ?? LINE).toMatchObject(LINE)
  })

  it('reports what to write', async () => {
    contract = contractOf({ 'POST /payments': { retentionSeconds: 86_399 } })
    expect((await findingsOf(GOOD, '--url', url))[0]?.change).toEqual({
      ...LINE,
      how: 'replace',
      text: "retention: '24h'",
    })
  })

  it('reports nothing of a good route', async () => {
    contract = contractOf({ 'POST /payments': { tenant: true } })
    expect(await findingsOf(GOOD, '--url', url)).toEqual([])
  })

  it.each(['', '/', '/.well-known/idempotency'])(
    'finds the contract at the path %s',
    async (end) => {
      contract = contractOf({ 'POST /payments': { tenant: true } })
      asked = []
      expect(await findingsOf(GOOD, '--url', `${url}/api${end}`)).toEqual([])
      expect(asked).toEqual(['/api/.well-known/idempotency'])
    },
  )

  it('fails if the retention is shorter than the window that was named', async () => {
    contract = contractOf({ 'POST /payments': { retentionSeconds: 259_199 } })
    const args = ['--offline', '--url', url, '--retry-window']
    expect(await runDoctor(GOOD, ...args, '3d')).toMatchObject({ code: 1 })
    expect(await runDoctor(GOOD, ...args, '71h')).toMatchObject({ code: 0 })
  })

  it.each([
    {
      when: 'there is no route',
      answer: { version: 1, operations: [] },
      rule: 'no-protected-route',
    },
    { when: 'the contract is something else', answer: {}, rule: 'contract-unreadable' },
  ])('reports that $when', async ({ answer, rule }) => {
    contract = answer
    expect((await findingsOf(GOOD, '--url', url)).map((finding) => finding.rule)).toEqual([rule])
  })
})

describe('origins', () => {
  it('that do not answer are reported, and others are asked without credentials', async () => {
    const asked: (string | undefined)[] = []
    const server = createServer((request, response) => {
      asked.push(request.method, request.headers.authorization)
      response.writeHead(404).end()
    })
    const url = await listen(server)
    const files = { ...GOOD, '.dev.vars': `${GOOD['.dev.vars'] ?? ''}ORIGIN_URL=${url}\n` }
    const up = JSON.parse((await runDoctor(files, '--json')).out) as { findings: Finding[] }
    expect(up.findings).toEqual([])
    expect(asked).toEqual(['HEAD', undefined])
    await close(server)
    const down = JSON.parse((await runDoctor(files, '--json')).out) as { findings: Finding[] }
    expect(down.findings.map(({ rule }) => rule)).toEqual(['origin-unreachable'])
  })
})

describe('the dataset', () => {
  it.each([
    { when: 'it can be read', status: 200, body: '{"meta":[],"data":[],"rows":0}', expected: [] },
    { when: 'the token is wrong', status: 401, body: 'no', expected: ['dataset-unreadable'] },
  ])('is asked if there are credentials: $when', async ({ status, body, expected }) => {
    const queries: string[] = []
    const server = createServer((request, response) => {
      request.on('data', (chunk) => queries.push(String(chunk)))
      request.on('end', () => response.writeHead(status).end(body))
    })
    vi.stubEnv('HAPAX_ANALYTICS_URL', await listen(server))
    const { findings, notChecked } = await examine(GOOD)
    vi.unstubAllEnvs()
    await close(server)
    expect(findings.map(({ rule }) => rule)).toEqual(expected)
    expect(notChecked.map(({ check }) => check)).not.toContain('dataset')
    expect(queries.join('')).toContain('FROM hapax LIMIT 1')
  })

  it('is not asked without credentials, which is said', async () => {
    expect((await examine(GOOD)).notChecked.map(({ check }) => check)).toContain('dataset')
  })
})

describe('the command', () => {
  it('prints findings with the line to change, and counts them', async () => {
    const files = withLocal('HAPAX_ADMIN_TOKEN=short')
    const { out, code } = await runDoctor(files, '--offline')
    expect(code).toBe(0)
    expect(out).toContain(
      'warning  HAPAX_ADMIN_TOKEN has fewer than 32 characters. (secret-short)\n',
    )
    expect(out).toContain('         .dev.vars:2: write:\n           HAPAX_ADMIN_TOKEN="…"\n')
    expect(out).toMatch(/\nwrangler.toml: 0 errors, 1 warning, 0 notes.\n$/)
  })

  it('exits with 1 when there is an error, and puts errors first', async () => {
    const files = { ...GOOD, '.dev.vars': '', 'src/index.ts': 'export {}' }
    expect(await runDoctor(files, '--offline')).toMatchObject({ code: 1 })
    const severities = (await findingsOf(files)).map(({ severity }) => severity)
    expect(severities).toEqual(['error', 'note'])
  })

  it.each([
    { what: 'two directories', args: ['.'], exitCode: 2 },
    { what: 'an unknown option', args: ['--nonsense'], exitCode: 2 },
    { what: 'an unknown environment', args: ['--env', 'nowhere'], exitCode: 2 },
    { what: 'a window that is no duration', args: ['--retry-window', 'long'], exitCode: 2 },
    { what: 'a URL that is none', args: ['--url', 'https://'], exitCode: 2 },
  ])('takes $what for wrong usage', async ({ args, exitCode }) => {
    await expect(runDoctor(GOOD, ...args)).rejects.toMatchObject({ name: 'Failure', exitCode })
  })

  it('needs a configuration', async () => {
    await expect(runDoctor({ 'a.txt': '' })).rejects.toThrow('no Wrangler configuration')
  })
})
