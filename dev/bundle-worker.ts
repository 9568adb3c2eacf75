import { build } from 'esbuild'

/** What to bundle. */
export interface BundleOptions {
  readonly entry: string
  /** The file to write. */
  readonly bundle: string
  readonly minify?: boolean
}

/** Bundles a Worker as `wrangler deploy` does. `test/e2e/bare.test.ts` compares the two. */
export async function bundleWorker({ entry, bundle, minify }: BundleOptions): Promise<void> {
  await build({
    entryPoints: [entry],
    outfile: bundle,
    bundle: true,
    minify: minify ?? false,
    format: 'esm',
    keepNames: false,
    target: 'es2024',
    conditions: ['workerd', 'worker', 'browser'],
    external: ['cloudflare:*', 'node:*'],
    define: {
      'navigator.userAgent': '"Cloudflare-Workers"',
      'process.env.NODE_ENV': '"production"',
    },
    logLevel: 'silent',
  })
}
