import { readFileSync } from 'node:fs'
import path from 'node:path'

import { expect, it } from 'vitest'

const root = path.resolve(import.meta.dirname, '../../..')
const read = (file: string) => readFileSync(path.join(root, file), 'utf8')

it('docs/real-clients.md names the clients that are tested, and their versions', () => {
  const source = read('test/e2e/real-clients/clients.ts')
  const tested = Array.from(source.matchAll(/^import .* from '([^']+)'$/gm), ([, name = '']) => {
    const manifest = JSON.parse(read(`node_modules/${name}/package.json`)) as { version: string }
    return `${name} ${manifest.version}`
  })
  const rows = read('docs/real-clients.md').matchAll(/^\| `([^`]+)` +\| (\d+\.\d+\.\d+) +\|/gm)
  const listed = Array.from(rows, ([, name, version]) => `${name} ${version}`)
  expect(listed.toSorted()).toEqual(tested.toSorted())
})
