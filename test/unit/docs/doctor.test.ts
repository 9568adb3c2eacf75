import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'

import { expect, it } from 'vitest'

const root = path.resolve(import.meta.dirname, '../../..')
const page = readFileSync(path.join(root, 'docs/doctor.md'), 'utf8')

it('docs/doctor.md lists every rule of hapax doctor', () => {
  const sources = globSync('cli/doctor/*.ts', { cwd: root })
  const rules = sources.flatMap((file) =>
    Array.from(
      readFileSync(path.join(root, file), 'utf8').matchAll(/\brule: '([a-z-]+)'/g),
      ([, rule]) => rule,
    ),
  )
  const [, table = ''] = /## What it finds\n([^]*?)\n## /.exec(page) ?? []
  const rows = table.split('\n').filter((line) => line.startsWith('| `'))
  const listed = rows.flatMap((row) =>
    Array.from((row.split('|')[1] ?? '').matchAll(/`([a-z-]+)`/g), ([, rule]) => rule),
  )
  expect(listed.toSorted()).toEqual([...new Set(rules)].toSorted())
})
