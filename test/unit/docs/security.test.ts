import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'

import { describe, expect, it } from 'vitest'

const root = path.resolve(import.meta.dirname, '../../..')
const page = readFileSync(path.join(root, 'SECURITY.md'), 'utf8')

/** A test, by its title and its file; a title that has backticks itself stands between two. */
const NAMED = /(?:`` ?(.+?) ?``|`([^`]+)`) in `(test\/[^`]+)`/g

const named = Array.from(page.matchAll(NAMED), ([, quoted, plain, file = '']) => ({
  title: quoted ?? plain ?? '',
  file,
}))

/** The rows of threats. */
const threats = (page.split(/^## Threats$/m)[1]?.split(/^## /m)[0] ?? '')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (?:threat |where |-)/.test(line))
  .filter((line) => line.split(/(?<!\\)\|/).length === 5)

describe('SECURITY.md', () => {
  it('has a test for every threat', () => {
    expect(threats.length).toBeGreaterThan(40)
    expect(threats.filter((line) => line.match(NAMED) === null)).toEqual([])
  })

  it.each(named)('names a test of $file: $title', ({ title, file }) => {
    const where = path.join(root, file)
    expect(existsSync(where)).toBe(true)
    expect(readFileSync(where, 'utf8').includes(`'${title}'`)).toBe(true)
  })
})
