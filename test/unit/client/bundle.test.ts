import path from 'node:path'
import { gzipSync } from 'node:zlib'

import { build } from 'esbuild'
import { describe, expect, it } from 'vitest'

const source = path.resolve(import.meta.dirname, '../../../src')

/** @throws Where what is imported needs a module that a browser does not have. */
async function bundle(imported: string) {
  const { outputFiles, metafile } = await build({
    stdin: { contents: `export ${imported}`, resolveDir: source },
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    platform: 'browser',
    format: 'esm',
    // Everything that Node.js 20 has; esbuild lowers syntax and adds no built-ins.
    target: 'es2022',
    logLevel: 'silent',
  })
  const [file] = outputFiles
  if (file === undefined) throw new Error('A build has one file.')
  const foreign = Object.keys(metafile.inputs).filter((input) => input.includes('node_modules'))
  return { gzipBytes: gzipSync(file.contents).byteLength, foreign }
}

describe.each([
  { imported: "{ createIdempotentFetch } from './client.ts'", limitBytes: 5_120 },
  // Its token is no page's: servers import it, and a bundler leaves it out of a page.
  { imported: "{ once } from './client.ts'", limitBytes: 5_888 },
  { imported: "* from './client.ts'", limitBytes: 8_768 },
  // With the `fetch` of the other, which bundlers share: 8 KiB of its own, half of them the canonical
  // JSON of the arguments, and 5 KiB of that.
  { imported: "* from './agents.ts'", limitBytes: 13_312 },
])('the bundle of a page that imports $imported', ({ imported, limitBytes }) => {
  it(`runs in browsers, depends on nothing and has at most ${limitBytes} bytes, compressed`, async () => {
    const { gzipBytes, foreign } = await bundle(imported)
    expect(foreign).toEqual([])
    expect(gzipBytes).toBeLessThanOrEqual(limitBytes)
  })
})
