/**
 * Weighs the Worker that `npm run build` has made, as it goes over the wire.
 *
 *     npm run check:bundle
 */
import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

const LIMIT_KIB = 142

const bundle = readFileSync(new URL('../dist/index.js', import.meta.url))
const kib = gzipSync(bundle).byteLength / 1_024
console.log(`bundle: ${kib.toFixed(1)} KiB gzip, at most ${LIMIT_KIB}`)
if (kib > LIMIT_KIB) process.exitCode = 1
