/**
 * Weighs Workers as they go over the wire: this deployment, which `npm run build` has made, and the
 * same gateway without operators.
 *
 *     npm run check:bundle
 *
 * `docs/decisions/014-bundle-budget.md` says how the limits are chosen, and what is in a Worker.
 */
import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

const LIMITS_KIB = { index: 134.4, 'without-operators': 109.8 }

for (const [name, limit] of Object.entries(LIMITS_KIB)) {
  const bundle = readFileSync(new URL(`../.wrangler/bundle/${name}.js`, import.meta.url))
  const kib = gzipSync(bundle).byteLength / 1_024
  console.log(`${name}: ${kib.toFixed(1)} KiB gzip, at most ${limit}`)
  if (kib > limit) process.exitCode = 1
}
