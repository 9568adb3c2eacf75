import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { afterAll, expect, it } from 'vitest'

import { AnalyticsEngine } from '../../dev/analytics-engine.ts'
import { createAnalyticsClient, toApiUrl } from '../../src/analytics/client.ts'
import { toSql } from '../../src/analytics/queries.ts'
import { pointOf, SINCE, write } from './analytics-mix.ts'

const directory = mkdtempSync(path.join(tmpdir(), 'hapax-analytics-'))
afterAll(() => rmSync(directory, { recursive: true }))

async function run<T>(work: (engine: AnalyticsEngine) => Promise<T>): Promise<T> {
  const engine = await AnalyticsEngine.start({ directory, token: 'another' })
  try {
    return await work(engine)
  } finally {
    await engine.close()
  }
}

it('an engine keeps its points in its directory', async () => {
  await run((engine) => write(engine, [pointOf({})]))
  const rows = await run(async (engine) => {
    await write(engine, [pointOf({}, { stands: 2 })])
    const { accountId, token, url } = engine
    const client = createAnalyticsClient({ url: toApiUrl(accountId, url), token })
    return client.query(toSql('summary', { since: SINCE }))
  })
  expect(rows).toMatchObject([{ requests: 3 }])
})
