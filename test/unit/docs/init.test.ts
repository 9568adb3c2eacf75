import { readFileSync } from 'node:fs'
import path from 'node:path'

import { expect, it } from 'vitest'

import { toManual } from '../../../cli/init/by-hand.ts'
import { toolchainOn } from '../../../cli/init/toolchain.ts'

const page = readFileSync(path.resolve(import.meta.dirname, '../../../docs/init.md'), 'utf8')

const blocksOf = (language: string) =>
  Array.from(
    page.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms')),
    ([, code = '']) => code,
  )

it.each(['toml', 'ts'])('docs/init.md has the same lines in %s as hapax init', (language) => {
  const lines = toManual('wrangler.toml', toolchainOn('20'))
    .split('\n')
    .map((line) => line.trim())
  const shown = blocksOf(language)
    .join('\n')
    .split('\n')
    .filter((line) => line !== '' && !/hono'$|new Hono/.test(line))
  expect(shown.length).toBeGreaterThan(4)
  for (const line of shown) expect(lines.map((each) => each.replace(/ \/\/.*/, ''))).toContain(line)
})
