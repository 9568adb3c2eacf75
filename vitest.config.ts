import { mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import path from 'node:path'

import { cloudflareTest } from '@cloudflare/vitest-plugin'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/**
 * Where the state of every gateway in tests goes. Each operation is a file of its own, and a fifth
 * of what the tests cost would go into bringing these to a disk.
 */
function fastDirectory(): string {
  const inMemory = '/dev/shm'
  // `queue-load.test.ts` can be asked for more messages.
  const bytes = 2e9 + Number(process.env['HAPAX_QUEUE_MESSAGES'] ?? 0) * 1e6
  try {
    const { bavail, bsize } = statfsSync(inMemory)
    return bavail * bsize > bytes ? inMemory : tmpdir()
  } catch {
    return tmpdir()
  }
}

const temporary = mkdtempSync(path.join(fastDirectory(), 'hapax-test-'))
process.env['TMPDIR'] = temporary
process.once('exit', () => rmSync(temporary, { recursive: true, force: true, maxRetries: 5 }))

const inNode = (name: string) => ({
  // They share nothing that one could spoil for another, and a worker for each file would cost more than they do.
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout: 60_000, isolate: false },
})

const ofServers = (name: string) => ({
  name,
  globalSetup: 'test/e2e/builder.ts',
  isolate: false,
  testTimeout: 60_000,
  hookTimeout: 60_000,
  expect: { poll: { timeout: 10_000 } },
})

/** First the files that wait the longest, last those so short that all workers end together. */
const PROJECTS = ['e2e', 'sharded', 'workerd', 'model', 'unit']
const rankOf = ({ project }: TestSpecification) => PROJECTS.indexOf(project.name)

/**
 * Starts the projects in this order. Vitest orders them by their names, with `workerd` at the end:
 * while its servers start, nothing else would be left to run.
 */
class ProjectSequencer extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // oxlint-disable-next-line unicorn/no-array-sort -- of no array, but of the class above
    const sorted = await super.sort(files)
    return sorted.toSorted((one, other) => rankOf(one) - rankOf(other))
  }
}

/** The processes that tests start are the same few, again and again. */
const COMPILED = { NODE_COMPILE_CACHE: path.resolve('node_modules/.cache/hapax') }

export default defineConfig({
  test: {
    silent: 'passed-only',
    sequence: { sequencer: ProjectSequencer },
    // The end-to-end tests mostly wait, for servers and for time: with twice as many as there are
    // cores, these are idle for a third of the time.
    maxWorkers: Math.ceil(availableParallelism() * 2.5),
    projects: [
      inNode('unit'),
      inNode('model'),
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: './wrangler.toml' },
            remoteBindings: false,
            miniflare: {
              // Optional in a deployment, so it does not stand in wrangler.toml.
              r2Buckets: ['SNAPSHOTS'],
              queueProducers: { OUTBOX: 'outbox' },
              bindings: {
                CRM_URL: 'https://crm.test',
                PAYMENTS_TOKEN: 'the-token-of-payments',
                HAPAX_WEBHOOK_SECRET: `whsec_${btoa('a secret of the tests, long enough')}`,
              },
              // Stands for an application's own database.
              d1Databases: ['DB'],
              // Whatever a test did not answer itself must not reach a network.
              outboundService: () => new Response('no network in tests', { status: 599 }) as never,
            },
          }),
        ],
        test: {
          name: 'workerd',
          include: ['test/workerd/**/*.test.ts'],
          setupFiles: ['test/workerd/setup.ts'],
          isolate: false,
          // As bundles: zod alone is 93 files, which every test file would load and run anew. Not Hono,
          // whose classes must be the same ones for a module that is imported beside the bundle.
          deps: {
            optimizer: { ssr: { enabled: true, include: ['devalue', 'zod/locales', 'zod/mini'] } },
          },
          testTimeout: 60_000,
          // What an object logs as the last thing of a file would keep the run waiting for ever:
          // https://github.com/cloudflare/workers-sdk/issues/15719
          disableConsoleIntercept: true,
        },
      },
      {
        test: {
          ...ofServers('e2e'),
          env: COMPILED,
          include: ['test/e2e/**/*.test.ts', 'test/conformance/**/*.test.ts'],
        },
      },
      {
        // The same contract where a few objects hold all operations.
        test: {
          ...ofServers('sharded'),
          env: { ...COMPILED, PLACEMENT: JSON.stringify({ count: 2 }) },
          include: [
            'test/e2e/{crash-matrix,evidence,once,origins,outbox,stream}.test.ts',
            'test/conformance/**/*.test.ts',
          ],
        },
      },
    ],
  },
})
