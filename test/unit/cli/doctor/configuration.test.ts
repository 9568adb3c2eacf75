import { describe, expect, it } from 'vitest'

import {
  type Case,
  type Files,
  findingsOf,
  GOOD,
  GOOD_JSONC,
  JSONC,
  MAIN,
  TOML,
  without,
} from './project-files.ts'

const inToml = (from: string, to: string): Files => ({
  ...GOOD,
  'wrangler.toml': replaced(TOML, from, to),
})
const inJsonc = (from: string, to: string): Files => ({
  ...GOOD_JSONC,
  'wrangler.jsonc': replaced(JSONC, from, to),
})
const inMain = (from: string, to: string): Files => ({
  ...GOOD,
  'src/index.ts': replaced(MAIN, from, to),
})

/** A change that changes nothing would prove nothing. */
function replaced(text: string, from: string, to: string): string {
  if (!text.includes(from)) throw new Error(`Not there: ${from}`)
  return text.replace(from, to)
}

const ENVIRONMENT = `
[env.production.vars]
ORIGIN_URL = "https://api.example.com"
`

describe('a project without a problem', () => {
  it.each([
    { format: 'TOML', files: GOOD },
    { format: 'JSONC', files: GOOD_JSONC },
  ])('has no finding: $format', async ({ files }) => {
    expect(await findingsOf(files)).toEqual([])
  })
})

describe('bindings', () => {
  it.each<Case>([
    {
      when: 'one is missing in TOML',
      files: inToml('"OPERATIONS"', '"OTHER"'),
      expected: {
        rule: 'binding-missing',
        severity: 'error',
        what: 'The binding OPERATIONS is missing.',
        change: {
          file: 'wrangler.toml',
          line: 28,
          how: 'add',
          text: '[[durable_objects.bindings]]\nname = "OPERATIONS"\nclass_name = "IdempotencyObject"',
        },
      },
    },
    {
      when: 'an environment in JSONC has none',
      files: {
        ...GOOD_JSONC,
        'wrangler.jsonc': replaced(
          JSONC,
          '"name": "shop",',
          '"name": "shop",\n  "env": { "staging": {} },',
        ),
      },
      args: ['--env', 'staging'],
      expected: {
        rule: 'binding-missing',
        what: 'The binding METRICS is missing in env.staging.',
        change: {
          file: 'wrangler.jsonc',
          line: 5,
          how: 'add',
          text: '"analytics_engine_datasets": [{ "binding": "METRICS", "dataset": "hapax_staging" }],',
        },
      },
    },
    {
      when: 'one is missing in JSONC',
      files: inJsonc('      { "name": "DIRECTORY", "class_name": "DirectoryObject" },\n', ''),
      expected: {
        rule: 'binding-missing',
        what: 'The binding DIRECTORY is missing.',
        change: {
          file: 'wrangler.jsonc',
          line: 10,
          how: 'add',
          text: '{ "name": "DIRECTORY", "class_name": "DirectoryObject" },',
        },
      },
    },
    {
      when: 'an environment has none, because it does not inherit them',
      files: { ...GOOD, 'wrangler.toml': TOML + ENVIRONMENT },
      args: ['--env', 'production'],
      expected: {
        rule: 'binding-missing',
        what: 'The binding OPERATIONS is missing in env.production.',
        why: expect.stringContaining('does not inherit'),
        change: {
          file: 'wrangler.toml',
          line: 31,
          how: 'add',
          text: '[[env.production.durable_objects.bindings]]\nname = "OPERATIONS"\nclass_name = "IdempotencyObject"',
        },
      },
    },
    {
      when: 'the two classes are swapped',
      files: inToml('class_name = "IdempotencyObject"', 'class_name = "DirectoryObject"'),
      expected: {
        rule: 'binding-class',
        severity: 'error',
        change: {
          file: 'wrangler.toml',
          line: 11,
          how: 'replace',
          text: 'class_name = "IdempotencyObject"',
        },
      },
    },
    {
      when: 'there is no dataset',
      files: inToml('"METRICS"', '"OTHER"'),
      expected: { rule: 'binding-missing', what: 'The binding METRICS is missing.' },
    },
  ])('are reported when $when', async ({ files, args = [], expected }) => {
    expect(await findingsOf(files, ...args)).toContainEqual(expect.objectContaining(expected))
  })

  it('need no dataset if the gateway writes no metrics', async () => {
    const files = {
      ...inToml('"METRICS"', '"OTHER"'),
      'src/index.ts': replaced(MAIN, "'Authorization') }", "'Authorization'), metrics: false }"),
    }
    expect(await findingsOf(files)).toEqual([])
  })

  it.each([
    {
      class: 'extends the one of the package',
      text: 'export class Mine extends IdempotencyObject {}',
    },
    { class: 'is the one of the package', text: 'export { IdempotencyObject as Mine }' },
  ])('may be of a class that $class', async ({ text }) => {
    const files = {
      ...GOOD,
      'wrangler.toml': TOML.replaceAll('IdempotencyObject', 'Mine'),
      'src/index.ts': `import { IdempotencyObject } from 'hapax'\n${text}\n${MAIN.replace(', IdempotencyObject }', ' }')}`,
    }
    expect(await findingsOf(files)).toEqual([])
  })

  it('of another Worker need no class here', async () => {
    const toml = TOML.replaceAll(/(class_name = .*)/g, '$1\nscript_name = "gateway"')
    const files = {
      ...GOOD,
      'wrangler.toml': toml.replace(/\[exports[^]*?(?=\[\[analytics)/, ''),
      'src/index.ts': replaced(
        MAIN,
        "export { DirectoryObject, IdempotencyObject } from 'hapax'",
        '',
      ),
    }
    expect(await findingsOf(files)).toEqual([])
  })
})

describe('classes', () => {
  it.each<Case>([
    {
      when: 'the main file does not export them',
      files: inMain('DirectoryObject, IdempotencyObject', 'DirectoryObject'),
      expected: {
        rule: 'class-not-exported',
        severity: 'error',
        change: {
          file: 'src/index.ts',
          line: 1,
          how: 'add',
          text: "export { IdempotencyObject } from 'hapax'",
        },
      },
    },
    {
      when: 'the main file is missing',
      files: without(GOOD, 'src/index.ts'),
      expected: { rule: 'main-unreadable', what: 'src/index.ts could not be read.' },
    },
    {
      when: 'the main file is not JavaScript',
      files: { ...GOOD, 'src/index.ts': 'export {' },
      expected: { rule: 'main-unreadable' },
    },
    {
      when: 'one is not declared in exports',
      files: inToml('[exports.DirectoryObject]\ntype = "durable-object"\nstorage = "sqlite"\n', ''),
      expected: {
        rule: 'class-not-declared',
        severity: 'error',
        change: {
          file: 'wrangler.toml',
          line: 25,
          how: 'add',
          text: '[exports.DirectoryObject]\ntype = "durable-object"\nstorage = "sqlite"',
        },
      },
    },
    {
      when: 'one is in no migration',
      files: inJsonc('["IdempotencyObject", "DirectoryObject"]', '["IdempotencyObject"]'),
      expected: {
        rule: 'class-not-declared',
        what: 'No migration creates DirectoryObject.',
        change: {
          file: 'wrangler.jsonc',
          line: 15,
          how: 'add',
          text: '{ "tag": "hapax-2", "new_sqlite_classes": ["DirectoryObject"] },',
        },
      },
    },
    {
      when: 'a migration creates one without SQLite',
      files: inJsonc('new_sqlite_classes', 'new_classes'),
      expected: { rule: 'class-without-sqlite', severity: 'error' },
    },
    {
      when: 'the installed Wrangler does not know exports',
      files: { ...GOOD, 'node_modules/wrangler/config-schema.json': '{}' },
      expected: { rule: 'exports-unknown', severity: 'error' },
    },
    {
      when: 'exports and migrations are both there',
      files: {
        ...GOOD,
        'wrangler.toml': `${TOML}\n[[migrations]]\ntag = "v1"\nnew_sqlite_classes = ["A"]\n`,
      },
      expected: { rule: 'exports-and-migrations', severity: 'error' },
    },
  ])('are reported when $when', async ({ files, expected }) => {
    expect(await findingsOf(files)).toContainEqual(expect.objectContaining(expected))
  })

  it('can come from a file that is exported as a whole', async () => {
    const files = inMain('export { DirectoryObject, IdempotencyObject }', 'export *')
    expect(await findingsOf(files)).toEqual([])
  })
})

describe('the runtime', () => {
  const DATE = 'compatibility_date = "2026-10-15"'
  it.each<Case>([
    {
      when: 'there is no compatibility date',
      files: inToml(DATE, ''),
      expected: {
        rule: 'compatibility-date-missing',
        severity: 'error',
        change: {
          file: 'wrangler.toml',
          line: 6,
          how: 'add',
          text: 'compatibility_date = "2026-10-23"',
        },
      },
    },
    {
      when: 'the date is newer than the installed workerd',
      files: inToml(DATE, 'compatibility_date = "2026-10-24"'),
      expected: {
        rule: 'compatibility-date-newer',
        change: {
          file: 'wrangler.toml',
          line: 3,
          how: 'replace',
          text: 'compatibility_date = "2026-10-23"',
        },
      },
    },
    {
      when: 'the date is from before objects stay alive',
      files: inToml(DATE, 'compatibility_date = "2026-09-30"'),
      expected: { rule: 'compatibility-date-old', severity: 'warning' },
    },
    {
      when: 'the date is from before Node.js modules are complete',
      files: inToml(DATE, 'compatibility_date = "2024-09-22"'),
      expected: { rule: 'compatibility-date-too-old', severity: 'error' },
    },
    {
      when: 'the date is from before Node.js modules are there',
      files: inToml(DATE, 'compatibility_date = "2026-08-03"'),
      expected: {
        rule: 'nodejs-compat-missing',
        severity: 'error',
        change: {
          file: 'wrangler.toml',
          line: 4,
          how: 'replace',
          text: 'compatibility_flags = ["global_fetch_strictly_public", "nodejs_compat"]',
        },
      },
    },
    {
      when: 'requests to another host may bypass its security settings',
      files: inToml('compatibility_flags = ["global_fetch_strictly_public"]\n', ''),
      expected: { rule: 'strictly-public-missing', severity: 'warning' },
    },
    {
      when: 'requests to the origin come back to the Worker',
      files: inToml(
        '[vars]',
        'routes = [{ pattern = "*.example.com/*", zone_name = "example.com" }]\n\n[vars]',
      ),
      expected: {
        rule: 'origin-loops',
        severity: 'error',
        change: {
          file: 'wrangler.toml',
          line: 4,
          how: 'replace',
          text: 'compatibility_flags = []',
        },
      },
    },
  ])('is reported when $when', async ({ files, expected }) => {
    expect(await findingsOf(files)).toContainEqual(expect.objectContaining(expected))
  })

  it.each([
    { what: 'the first date with Node.js modules', text: 'compatibility_date = "2026-08-04"' },
    {
      what: 'an older date with the flag',
      text: 'compatibility_date = "2026-08-03"\ncompatibility_flags = ["nodejs_compat", "global_fetch_strictly_public"]',
    },
  ])('has Node.js modules with $what', async ({ text }) => {
    const toml = replaced(TOML, DATE, '').replace(/compatibility_flags.*\n/, '')
    const findings = await findingsOf({ ...GOOD, 'wrangler.toml': `${text}\n${toml}` })
    expect(findings.map(({ rule }) => rule)).not.toContain('nodejs-compat-missing')
  })

  it('is only warned of if the origin is the host of a route and the flag is off', async () => {
    const route = 'route = "api.example.com/*"'
    const files = inToml('compatibility_flags = ["global_fetch_strictly_public"]', route)
    const findings = await findingsOf(files)
    expect(findings.map(({ rule, severity }) => `${severity} ${rule}`)).toEqual([
      'warning origin-same-host',
    ])
  })
})

describe('origins', () => {
  const ORIGIN = 'ORIGIN_URL = "https://api.example.com"'
  it.each<Case>([
    {
      when: 'there is none',
      files: inToml(ORIGIN, ''),
      expected: {
        rule: 'origin-missing',
        severity: 'error',
        change: {
          file: 'wrangler.toml',
          line: 7,
          how: 'add',
          text: 'ORIGIN_URL = "https://api.example.com"',
        },
      },
    },
    {
      when: 'it is this machine',
      files: inToml('https://api.example.com', 'http://localhost:8788'),
      expected: { rule: 'origin-loopback', severity: 'warning' },
    },
    {
      when: 'it is this machine as a part of IPv6',
      files: inToml('https://api.example.com', 'http://[::ffff:127.0.0.1]:8788'),
      expected: { rule: 'origin-loopback', severity: 'warning' },
    },
    {
      when: 'it is this machine in an environment',
      files: {
        ...GOOD,
        'wrangler.toml':
          TOML + replaced(ENVIRONMENT, 'https://api.example.com', 'http://[::1]:8788'),
      },
      args: ['--env', 'production'],
      expected: { rule: 'origin-loopback', severity: 'error' },
    },
    {
      when: 'the variable of another one is not set',
      files: {
        ...GOOD,
        'src/index.ts': `import { url } from 'hapax'\nexport const pay = url('PAYMENTS_URL')\n${MAIN}`,
      },
      expected: {
        rule: 'origin-missing',
        what: 'PAYMENTS_URL is not set. src/index.ts:2 uses it as an origin.',
        change: {
          file: 'wrangler.toml',
          line: 7,
          how: 'add',
          text: 'PAYMENTS_URL = "https://api.example.com"',
        },
      },
    },
    {
      when: 'another one is this machine',
      files: {
        ...GOOD,
        'src/index.ts': `import { url } from 'hapax'\nexport const pay = url('http://127.0.0.1:1')\n${MAIN}`,
      },
      expected: {
        rule: 'origin-loopback',
        severity: 'warning',
        change: {
          file: 'src/index.ts',
          line: 2,
          how: 'replace',
          text: "url('https://api.example.com')",
        },
      },
    },
    {
      when: 'a service is not bound',
      files: {
        ...GOOD,
        'src/index.ts': `import { service } from 'hapax'\nexport const crm = service('CRM')\n${MAIN}`,
      },
      expected: {
        rule: 'service-missing',
        severity: 'error',
        what: 'The service binding CRM is missing. src/index.ts:2 uses it as an origin.',
        change: {
          file: 'wrangler.toml',
          line: 28,
          how: 'add',
          text: '[[services]]\nbinding = "CRM"\nservice = "crm"',
        },
      },
    },
  ])('are reported when $when', async ({ files, args = [], expected }) => {
    expect(await findingsOf(files, ...args)).toContainEqual(expect.objectContaining(expected))
  })

  it.each([
    {
      what: 'a service is bound as ORIGIN',
      files: {
        ...GOOD,
        'wrangler.toml': `${TOML.replace(ORIGIN, '')}\n[[services]]\nbinding = "ORIGIN"\nservice = "api"\n`,
      },
    },
    {
      what: 'nothing is forwarded',
      files: {
        ...inToml(ORIGIN, ''),
        'src/index.ts': MAIN.replaceAll('protect', 'idempotent').replaceAll(
          'createGateway',
          'hapax',
        ),
      },
    },
  ])('are not missing when $what', async ({ files }) => {
    expect(await findingsOf(files)).toEqual([])
  })
})
