import { readdirSync } from 'node:fs'
import path from 'node:path'

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { init } from '../../../../cli/init.ts'
import { createProject, HONO_TOML, readIn } from './projects.ts'

describe('init', () => {
  let printed = ''
  beforeEach(() => {
    printed = ''
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      printed += String(text)
      return true
    })
  })
  afterEach(() => vi.restoreAllMocks())

  it('prints each change with its reason, and writes nothing with --dry-run', async () => {
    const directory = createProject(HONO_TOML)
    await init([directory, '--dry-run'])
    expect(printed).toContain(`wrangler.toml
  - Compatibility flag nodejs_compat: Hapax uses node:buffer, node:crypto and node:zlib. From the date 2026-08-04 on, it is not needed.
`)
    expect(printed).toContain(`
    - export default app
    + export { DirectoryObject, IdempotencyObject } from 'hapax'
    + export default createWorker(app)
`)
    expect(printed).toContain('.dev.vars.example (new)\n')
    expect(readdirSync(directory).toSorted()).toEqual(['package.json', 'src', 'wrangler.toml'])
    expect(readIn(directory, 'src/index.ts')).toBe(HONO_TOML['src/index.ts'])
  })

  it('writes with --yes, says what is next, and has nothing to do for the second time', async () => {
    const directory = createProject(HONO_TOML)
    await init([directory, '--yes'])
    expect(readIn(directory, 'src/index.ts')).toContain('createWorker(app)')
    expect(printed).toContain(
      `Written: wrangler.toml, src/index.ts, package.json, .dev.vars.example.

Next:
  cd ${directory}
  npm install
  npx wrangler types
  npx wrangler dev
  curl `,
    )
    printed = ''
    await init([directory])
    expect(printed).toMatch(/^Nothing to do: Hapax is set up\.\n/)
  })

  it.each([
    {
      how: 'generates the types of the bindings again',
      wrangler: "require('node:fs').writeFileSync('worker-configuration.d.ts', process.argv[2])",
      types: 'types',
      isLeft: false,
    },
    { how: 'says how, if Wrangler fails', wrangler: 'process.exit(1)', types: '', isLeft: true },
    { how: 'says how, without Wrangler', wrangler: null, types: '', isLeft: true },
  ])('$how where the project has such a file', async ({ wrangler, types, isLeft }) => {
    const directory = createProject({
      ...HONO_TOML,
      'worker-configuration.d.ts': '',
      ...(wrangler !== null && {
        'node_modules/wrangler/package.json': '{ "type": "commonjs" }',
        'node_modules/wrangler/bin/wrangler.js': wrangler,
      }),
    })
    await init([directory, '--yes'])
    expect(printed).toContain('worker-configuration.d.ts\n  - Has the types of the bindings.')
    expect(readIn(directory, 'worker-configuration.d.ts')).toBe(types)
    expect(printed.includes('npx wrangler types')).toBe(isLeft)
  })

  it('prints the changes, but does not write without a terminal to ask', async () => {
    const directory = createProject(HONO_TOML)
    vi.spyOn(process, 'stdin', 'get').mockReturnValue({ isTTY: false } as typeof process.stdin)
    await expect(init([directory])).rejects.toThrow(
      'Nothing was written, because there is no terminal to ask. Add --yes.',
    )
    expect(printed).toContain('+ export default createWorker(app)')
    expect(readIn(directory, 'src/index.ts')).toBe(HONO_TOML['src/index.ts'])
  })

  it('makes the directory of a new deployment', async () => {
    const directory = path.join(createProject({}), 'My Gateway!')
    await init([directory, '--yes'])
    expect(JSON.parse(readIn(directory, 'package.json'))).toMatchObject({ name: 'my-gateway' })
  })

  it.each([
    { args: ['a', 'b'], message: 'Specify one directory.' },
    { args: ['--dry-run', '--yes'], message: '--dry-run and --yes cannot be combined.' },
    { args: ['--env', 'a'], message: "Unknown option '--env'" },
  ])('refuses $args', async ({ args, message }) => {
    await expect(init(args)).rejects.toThrow(message)
  })
})
