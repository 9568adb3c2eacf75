import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'

import { expect, it } from 'vitest'

const root = path.resolve(import.meta.dirname, '../../..')
const tests = globSync('test/**/*.test.ts', { cwd: root })
  .map((file) => readFileSync(path.join(root, file), 'utf8'))
  .join('\n')

/** The last cell of every row that names a test. */
const rows = [
  ...readFileSync(path.join(root, 'docs/failure.md'), 'utf8').matchAll(/\| `([^`]+)`\s*\|$/gm),
].map(([, name = '']) => name)

/** Titles of the matrix are made of its points and policies. */
const MATRIX =
  /^an operation lost at (?:upload|sent|headers|mid-body|waiter|answered) under (?:hold|probe|resend|asked) is (?:executed|replayed|unknown) on its retry$/

it('docs/failure.md has rows', () => {
  expect(rows.length).toBeGreaterThan(30)
})

it.each(rows)('docs/failure.md names a test: %s', (name) => {
  const title = MATRIX.test(name)
    ? 'an operation lost at $point under $policy is $expected.word on its retry'
    : name
  expect(tests).toContain(`'${title}'`)
})
