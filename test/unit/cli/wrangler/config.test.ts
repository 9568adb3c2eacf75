import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import {
  environmentNames,
  findWranglerConfig,
  migratedClasses,
  parseWranglerConfig,
  resolveEnvironment,
} from '../../../../cli/wrangler/config.ts'

describe('findWranglerConfig', () => {
  let directory = ''
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'hapax-config-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))
  const write = (name: string, text: string) => writeFileSync(path.join(directory, name), text)

  it.each([
    { name: 'wrangler.toml', text: 'name = "shop" # mine', format: 'toml' },
    { name: 'wrangler.jsonc', text: '{ // mine\n "name": "shop", }', format: 'json' },
    { name: 'wrangler.json', text: '{ "name": "shop" } // as in Wrangler', format: 'json' },
  ])('reads $name', async ({ name, text, format }) => {
    write(name, text)
    expect(await findWranglerConfig(directory)).toEqual({
      file: path.join(directory, name),
      format,
      text,
      settings: { name: 'shop' },
    })
  })

  it('returns null if there is none', async () => {
    expect(await findWranglerConfig(directory)).toBeNull()
  })

  it('refuses a project with two', async () => {
    write('wrangler.toml', '')
    write('wrangler.jsonc', '{}')
    await expect(findWranglerConfig(directory)).rejects.toThrow(
      'The project has wrangler.jsonc and wrangler.toml. Wrangler reads only wrangler.jsonc.',
    )
  })

  it('says which directory cannot be read', async () => {
    await expect(findWranglerConfig(path.join(directory, 'none'))).rejects.toThrow(
      'none could not be read: ENOENT',
    )
  })
})

describe('parseWranglerConfig', () => {
  it.each([
    { name: 'wrangler.toml', text: 'name = ', message: 'wrangler.toml is not valid TOML' },
    {
      name: 'wrangler.jsonc',
      text: '{\n  "name": "a"\n  "main": "b" }',
      message: 'wrangler.jsonc is not valid JSONC: CommaExpected in line 3.',
    },
    { name: 'wrangler.jsonc', text: '[]', message: 'wrangler.jsonc is invalid: the file: ' },
    {
      name: 'wrangler.toml',
      text: '[[durable_objects.bindings]]\nname = "A"',
      message: 'wrangler.toml is invalid: durable_objects.bindings.0.class_name: ',
    },
    {
      name: 'wrangler.toml',
      text: 'compatibility_date = 2026-01-01',
      message: 'wrangler.toml is invalid: compatibility_date: ',
    },
  ])('refuses $text', ({ name, text, message }) => {
    expect(() => parseWranglerConfig(text, name)).toThrow(message)
  })

  it('says where TOML is wrong, on lines of their own', () => {
    expect(() => parseWranglerConfig('name = ', 'wrangler.toml')).toThrow(/\(1, 1\):\nname = \n/)
  })

  it('keeps fields that it does not know', () => {
    expect(parseWranglerConfig('[placement]\nmode = "smart"', 'wrangler.toml')).toEqual({
      placement: { mode: 'smart' },
    })
  })
})

describe('resolveEnvironment', () => {
  const settings = parseWranglerConfig(
    `name = "shop"
main = "src/index.ts"
compatibility_date = "2026-01-01"
migrations = [{ tag = "v1", new_sqlite_classes = ["Room"] }]
[vars]
A = "1"
[[durable_objects.bindings]]
name = "ROOM"
class_name = "Room"
[env.staging]
compatibility_date = "2026-02-02"
[env.production]
name = "the-shop"
migrations = []
vars = { A = "2" }
`,
    'wrangler.toml',
  )
  const main = 'src/index.ts'
  const migrations = [{ tag: 'v1', new_sqlite_classes: ['Room'] }]

  it('lists the named environments', () => {
    expect(environmentNames(settings)).toEqual(['staging', 'production'])
  })

  it('gives the default environment everything but the named environments', () => {
    const { env: _, ...top } = settings
    expect(resolveEnvironment(settings, undefined)).toEqual(top)
  })

  it('lets a named environment inherit all but bindings and variables', () => {
    expect(resolveEnvironment(settings, 'staging')).toEqual({
      name: 'shop-staging',
      main,
      compatibility_date: '2026-02-02',
      migrations,
    })
  })

  it('prefers what the environment sets', () => {
    expect(resolveEnvironment(settings, 'production')).toEqual({
      name: 'the-shop',
      main,
      compatibility_date: '2026-01-01',
      migrations: [],
      vars: { A: '2' },
    })
  })

  it.each(['other', 'constructor'])('refuses the unknown environment %s', (name) => {
    expect(() => resolveEnvironment(settings, name)).toThrow('Known: staging, production.')
  })
})

describe('migratedClasses', () => {
  it('follows a history of migrations', () => {
    const classes = migratedClasses([
      { tag: '1', new_classes: ['Old', 'Gone'], new_sqlite_classes: ['A'] },
      { tag: '2', renamed_classes: [{ from: 'A', to: 'B' }], deleted_classes: ['Gone'] },
      { tag: '3', transferred_classes: [{ from: 'X', from_script: 's', to: 'Y' }] },
    ])
    expect(Object.fromEntries(classes)).toEqual({ Old: 'kv', B: 'sqlite', Y: 'transferred' })
  })
})
