import { defineConfig, type UserConfig } from 'tsdown'

/** What the builds of the package have in common. */
const common: UserConfig = {
  format: 'esm',
  tsconfig: 'tsconfig.build.json',
  sourcemap: true,
  logLevel: 'warn',
  failOnWarn: true,
  // Its command line, which is used here, is stable.
  suppressWarnings: /^TypeScript 7\.0 does not yet have a stable API/,
  checks: { pluginTimings: false },
}

export default defineConfig([
  {
    ...common,
    name: 'for Workers',
    entry: ['src/hapax.ts', 'src/operators.ts'],
    platform: 'neutral',
    target: 'es2024',
    deps: { neverBundle: [/^cloudflare:/, /^node:/] },
    // Their sources are not in the package, so a map of the declarations would lead nowhere.
    dts: { sourcemap: false },
  },
  {
    ...common,
    name: 'for callers',
    entry: ['src/client.ts', 'src/agents.ts'],
    platform: 'neutral',
    target: 'es2022',
    // Browsers run it, so it imports nothing.
    deps: { onlyImport: [] },
    dts: { sourcemap: false },
  },
  {
    ...common,
    name: 'for callers with files',
    entry: ['src/client-node.ts'],
    platform: 'neutral',
    target: 'es2022',
    deps: { neverBundle: [/^node:/] },
    dts: { sourcemap: false },
  },
  {
    ...common,
    name: 'command line',
    entry: ['cli/hapax.ts'],
    outDir: 'dist/cli',
    platform: 'node',
    target: 'node20',
    fixedExtension: false,
    dts: false,
  },
])
