import path from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type DevServer, startDevServer } from '../../demo/dev-server.ts'
import { createForeignProject, type ForeignProject } from './packed.ts'

const FILES = {
  'wrangler.toml': `name = "shop" # ours
main = "src/index.ts"
compatibility_date = "2026-04-01"
`,
  'src/index.ts': `import { Hono } from 'hono'

const app = new Hono()

app.get('/', (c) => c.text('The shop'))

export default app
`,
}

let project: ForeignProject
let server: DevServer
beforeAll(async () => {
  project = await createForeignProject()
  project.link('wrangler', 'workerd')
  project.write(FILES)
  const { code, output } = await project.run('npx', 'hapax', 'init', '--yes')
  if (code !== 0) throw new Error(output)
  server = await startDevServer({
    project: project.directory,
    config: 'wrangler.toml',
    persistTo: path.join(project.directory, '.state'),
  })
}, 180_000)

afterAll(() => server?.stop())

const post = () =>
  fetch(`${server.url}/hapax/example`, {
    method: 'POST',
    headers: { Authorization: 'Bearer me', 'Idempotency-Key': 'only-once' },
  })

describe('hapax init, in a Hono Worker of somebody else', () => {
  it('makes one effect of two requests', async () => {
    const first = await post()
    const second = await post()
    expect([first.status, second.status]).toEqual([201, 201])
    expect(first.headers.get('Idempotent-Replayed')).toBeNull()
    expect(second.headers.get('Idempotent-Replayed')).toBe('true')
    expect(await second.json()).toEqual(await first.json())
  })

  it('leaves the other routes alone', async () => {
    const home = await fetch(server.url)
    expect([home.status, await home.text()]).toEqual([200, 'The shop'])
    expect((await fetch(`${server.url}/none`)).status).toBe(404)
  })

  it('has nothing to do for the second time', async () => {
    expect(await project.run('npx', 'hapax', 'init', '--dry-run')).toMatchObject({
      code: 0,
      output: expect.stringContaining('Nothing to do: Hapax is set up.'),
    })
  })
})
