import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync, globSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = path.resolve(import.meta.dirname, '../../..')
const pages = globSync(['*.md', 'docs/**/*.md'], { cwd: root }).toSorted()

interface Block {
  readonly page: string
  /** Where its fence stands in the page, counted from 1. */
  readonly line: number
  readonly code: string
}

const blocks = pages.flatMap((page) => readBlocks(page))

function readBlocks(page: string): Block[] {
  const text = readFileSync(path.join(root, page), 'utf8')
  return Array.from(text.matchAll(/^```ts\n(.*?)^```$/gms), ({ index, 1: code = '' }) => {
    return { page, line: text.slice(0, index).split('\n').length, code }
  })
}

/**
 * The module that a reader has after copying a block. A block that imports nothing continues the
 * first block of its page. Blank lines keep every line where it is in the page.
 */
function toModule(block: Block): string {
  const first = blocks.find(({ page }) => page === block.page)
  const isOnItsOwn = /^import /m.test(block.code) || first === undefined || first === block
  const parts = isOnItsOwn ? [block] : [first, block]
  return parts.reduce((text, { line, code }) => {
    return text + '\n'.repeat(line - (text.split('\n').length - 1)) + code
  }, '')
}

const toFile = ({ page, line }: Block) => `${page.replaceAll('/', '-')}.${line}.ts`

/** Modules resolve as if they were in `src`, where `src/routes.ts` and `src/index.ts` are. */
const toTsconfig = (folder: string) => ({
  extends: path.join(root, 'tsconfig.json'),
  compilerOptions: {
    moduleDetection: 'force',
    noUnusedLocals: false,
    noUnusedParameters: false,
    types: ['@cloudflare/workers-types', 'node'],
    rootDirs: [folder, path.join(root, 'src'), root],
    paths: {
      hapax: [path.join(root, 'src/hapax.ts')],
      'hapax/client': [path.join(root, 'src/client.ts')],
      'hapax/client/node': [path.join(root, 'src/client-node.ts')],
      'hapax/agents': [path.join(root, 'src/agents.ts')],
    },
  },
  files: [path.join(root, 'worker-configuration.d.ts'), ...blocks.map(toFile)],
  include: [],
})

/** Type-checks a folder and returns what the compiler prints. */
function check(folder: string): Promise<string> {
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc')
  return new Promise((resolve) => {
    execFile(process.execPath, [tsc, '--pretty', 'false'], { cwd: folder }, (_, stdout, stderr) =>
      resolve(stdout + stderr),
    )
  })
}

describe('TypeScript in README and docs', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'hapax-docs-'))
  let output = ''

  beforeAll(async () => {
    symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'))
    for (const block of blocks) writeFileSync(path.join(folder, toFile(block)), toModule(block))
    writeFileSync(path.join(folder, 'tsconfig.json'), JSON.stringify(toTsconfig(folder)))
    output = await check(folder)
  }, 60_000)

  afterAll(() => rmSync(folder, { recursive: true }))

  it('is there, and the compiler has nothing to say about anything else', () => {
    expect(blocks.length).toBeGreaterThan(20)
    const files = blocks.map(toFile)
    const others = output
      .split('\n')
      .filter((line) => /^\S.*error TS/.test(line))
      .filter((line) => !files.some((file) => line.startsWith(`${file}(`)))
    expect(others).toEqual([])
  })

  it.each(blocks)('compiles: $page, line $line', (block) => {
    const errors = output.split('\n').filter((line) => line.startsWith(`${toFile(block)}(`))
    expect(errors).toEqual([])
  })
})
