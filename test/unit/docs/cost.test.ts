import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'

import { expect, it, vi } from 'vitest'

import { cost } from '../../../cli/cost.ts'

const root = path.resolve(import.meta.dirname, '../../..')
const pages = ['docs/cost.md', 'docs/scale.md']

/** A command of a page, and what the page says that it prints, or a part of that. */
interface Quote {
  readonly page: string
  readonly command: string
  readonly output: string
}

const quotes = pages.flatMap((page): Quote[] => {
  const text = readFileSync(path.join(root, page), 'utf8')
  let command = ''
  return Array.from(text.matchAll(/^```(sh|text)\n(.*?)^```$/gms)).flatMap(
    ([, kind, content = '']) => {
      if (kind === 'sh') command = content.trim()
      return kind === 'text' ? [{ page, command, output: content }] : []
    },
  )
})

const outputs = new Map<string, Promise<string>>()

function outputOf(command: string): Promise<string> {
  const started = outputs.get(command) ?? start(command)
  outputs.set(command, started)
  return started
}

const HAPAX_COST = 'npm run --silent hapax -- cost '

async function start(command: string): Promise<string> {
  if (command.startsWith(HAPAX_COST)) return runCost(command.slice(HAPAX_COST.length).split(' '))
  const [node, script = ''] = command.split(' ')
  expect(node).toBe('node')
  const { stdout } = await promisify(execFile)(process.execPath, [script], { cwd: root })
  return stdout
}

async function runCost(args: string[]): Promise<string> {
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  try {
    await cost(args)
    return write.mock.calls.map(([chunk]) => String(chunk)).join('')
  } finally {
    write.mockRestore()
  }
}

it('the pages about cost and scale quote commands', () => {
  expect(quotes.filter(({ page }) => page === 'docs/cost.md').length).toBeGreaterThan(4)
  expect(quotes.filter(({ page }) => page === 'docs/scale.md').length).toBeGreaterThan(3)
})

it.each(quotes)(
  '$page says what $command prints',
  async ({ command, output }) => {
    expect(await outputOf(command)).toContain(output)
  },
  60_000,
)
