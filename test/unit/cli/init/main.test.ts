import { describe, expect, it } from 'vitest'

import { editMain } from '../../../../cli/init/edit-main.ts'
import { decideMain } from '../../../../cli/init/main-file.ts'

function edited(text: string, name = 'src/index.ts'): string {
  const plan = decideMain(text, name)
  if (plan.kind === 'done' || plan.kind === 'wrap') throw new Error(`It is ${plan.kind}.`)
  return editMain(plan, name).text
}

const EXAMPLE = `// An example: requests with the same Idempotency-Key get the same id. Delete it when you protect your own routes.
app.post('/hapax/example', idempotent(), (c) => c.json({ id: crypto.randomUUID() }, 201))`

describe('editMain', () => {
  it('sets up a Hono app', () => {
    const before = `import { Hono } from 'hono'
import { cors } from 'hono/cors' // for browsers

const app = new Hono<{ Bindings: Env }>()
app.use(cors())

app.get('/', (c) => c.text('Hello'))

// The Worker
export default app
`
    expect(edited(before)).toBe(`import { Hono } from 'hono'
import { cors } from 'hono/cors' // for browsers
import { createWorker, credential, hapax, idempotent } from 'hapax'

const app = new Hono<{ Bindings: Env }>()
app.use(hapax({ tenant: credential('Authorization') }))

${EXAMPLE}

app.use(cors())

app.get('/', (c) => c.text('Hello'))

export { DirectoryObject, IdempotencyObject } from 'hapax'
// The Worker
export default createWorker(app)
`)
  })

  it('keeps the style of the file', () => {
    const before = `import { Hono } from "hono";\r\n\r\nconst app = new Hono();\r\n\r\nexport default app;\r\n`
    expect(edited(before)).toBe(
      [
        'import { Hono } from "hono";',
        'import { createWorker, credential, hapax, idempotent } from "hapax";',
        '',
        'const app = new Hono();',
        'app.use(hapax({ tenant: credential("Authorization") }));',
        '',
        EXAMPLE.replaceAll("'", '"').replace('\n', '\r\n') + ';',
        '',
        'export { DirectoryObject, IdempotencyObject } from "hapax";',
        'export default createWorker(app);',
        '',
      ].join('\r\n'),
    )
  })

  it.each([
    {
      name: 'an exported app with a base path',
      created: "export const app = new Hono().basePath('/api') // v1",
      expected: `export const app = new Hono().basePath('/api') // v1
app.use(hapax({ tenant: credential('Authorization') }))`,
    },
    {
      name: 'an app in a chain',
      created: `const app = new Hono()
  .basePath('/api')
  .get('/', (c) => c.text('a'))
export type App = typeof app`,
      expected: `const app = new Hono()
  .basePath('/api')
  .use(hapax({ tenant: credential('Authorization') }))
  .get('/', (c) => c.text('a'))

${EXAMPLE}

export type App = typeof app`,
    },
    {
      name: 'an app in a chain on one line',
      created: "const app = new Hono().get('/', (c) => c.text('a'))",
      expected: `const app = new Hono().use(hapax({ tenant: credential('Authorization') })).get('/', (c) => c.text('a'))

${EXAMPLE.split('\n')[0]}`,
    },
    {
      name: 'a subclass of Hono',
      created: "import { OpenAPIHono } from '@hono/zod-openapi'\nconst app = new OpenAPIHono()",
      expected: `const app = new OpenAPIHono()
app.use(hapax(`,
    },
    {
      name: 'other code in the line',
      created: "const app = new Hono(); app.get('/', (c) => c.text('a'))",
      expected: `const app = new Hono();
app.use(hapax(`,
    },
  ])('adds the middleware to $name', ({ created, expected }) => {
    const text = edited(`import { Hono } from 'hono'\n\n${created}\n\nexport default app\n`)
    expect(text).toContain(expected)
    expect(text).toContain('export default createWorker(app)\n')
  })

  it.each([
    {
      before: 'export default app as unknown',
      after: 'export default createWorker(app) as unknown',
    },
    {
      before: 'export default app satisfies ExportedHandler<Env>',
      after: 'export default createWorker(app) satisfies ExportedHandler<Env>',
    },
    {
      before: 'export default { fetch: app.fetch, async scheduled() {} }',
      after: 'export default { ...createWorker(app), async scheduled() {} }',
    },
    {
      before:
        'export default {\n  port: 3000,\n  fetch: (request, env, ctx) => app.fetch(request, env, ctx),\n}',
      after: 'export default {\n  port: 3000,\n  ...createWorker(app),\n}',
    },
    {
      before:
        'export default { async fetch(request: Request) { return await app.fetch(request) } }',
      after: 'export default { ...createWorker(app) }',
    },
    {
      before: 'const worker: ExportedHandler = { fetch: app.fetch }\nexport default worker',
      after:
        "const worker: ExportedHandler = { ...createWorker(app) }\nexport { DirectoryObject, IdempotencyObject } from 'hapax'\nexport default worker",
    },
    {
      before: "const routes = app.get('/', (c) => c.text('a'))\nexport default routes",
      after: 'export default createWorker(routes)',
    },
  ])('replaces $before', ({ before, after }) => {
    expect(edited(`import { Hono } from 'hono'\nconst app = new Hono()\n\n${before}\n`)).toContain(
      after,
    )
  })

  it('reads JavaScript with JSX', () => {
    const text =
      "import { Hono } from 'hono'\nconst app = new Hono()\napp.get('/', (c) => c.html(<b>a</b>))\nexport default app\n"
    expect(edited(text, 'src/index.js')).toContain('createWorker(app)')
    expect(edited(text, 'src/index.tsx')).toContain('createWorker(app)')
  })

  it('adds only what is missing', () => {
    const before = `import { credential, hapax } from 'hapax'
import { Hono } from 'hono'

const app = new Hono()
app.use(hapax({ tenant: credential('X-Key') }))

export { IdempotencyObject } from 'hapax'
export default app
`
    expect(edited(before)).toBe(`import { credential, hapax } from 'hapax'
import { Hono } from 'hono'
import { createWorker } from 'hapax'

const app = new Hono()
app.use(hapax({ tenant: credential('X-Key') }))

export { IdempotencyObject } from 'hapax'
export { DirectoryObject } from 'hapax'
export default createWorker(app)
`)
  })

  it('adds only the classes to a Worker of Hapax', () => {
    const before =
      "import { createWorker } from 'hapax'\nimport { app } from './routes'\nexport default createWorker(app)\n"
    expect(edited(before)).toBe(
      "import { createWorker } from 'hapax'\nimport { app } from './routes'\nexport { DirectoryObject, IdempotencyObject } from 'hapax'\nexport default createWorker(app)\n",
    )
  })

  it('changes nothing in its own result', () => {
    const text = edited(
      "import { Hono } from 'hono'\nconst app = new Hono()\nexport default { fetch: app.fetch }\n",
    )
    expect(decideMain(text, 'src/index.ts')).toEqual({ kind: 'done' })
  })

  it.each(['hapax', 'idempotent', 'createWorker', 'credential'])(
    'refuses a file that uses the name %s',
    (taken) => {
      const text = `import { Hono } from 'hono'\nconst { a: ${taken} } = {}\nconst app = new Hono()\nexport default app\n`
      expect(() => edited(text)).toThrow(
        `src/index.ts already uses the name ${taken} for something else.`,
      )
    },
  )

  it('refuses routes that follow the default export', () => {
    expect(() =>
      edited(
        "import { Hono } from 'hono'\nconst app = new Hono()\nexport default app\napp.get('/', (c) => c.text(''))\n",
      ),
    ).toThrow('src/index.ts adds routes after its default export. Move the export to the end.')
  })
})

describe('decideMain', () => {
  it.each([
    {
      name: 'a method',
      text: 'export default { async fetch(request, env) { return new Response(env.A) } }',
    },
    {
      name: 'a function elsewhere',
      text: "import { handle } from './a'\nexport default { fetch: handle }",
    },
    {
      name: 'a variable',
      text: 'const worker = { fetch() { return new Response() } }\nexport default worker',
    },
    {
      name: 'an object with a type',
      text: 'export default { fetch: () => new Response() } satisfies ExportedHandler<Env>',
    },
  ])('wraps a plain Worker with $name', ({ text }) => {
    expect(decideMain(text, 'src/index.ts')).toMatchObject({ kind: 'wrap' })
  })

  it.each([
    { text: 'const a = ', message: 'src/index.ts could not be parsed: ' },
    {
      text: 'export default class extends WorkerEntrypoint {}',
      message: 'The default export of src/index.ts is a class.',
    },
    {
      text: 'class Main extends WorkerEntrypoint {}\nexport default Main',
      message: 'The default export of src/index.ts is a class.',
    },
    { text: 'export default function handler() {}', message: 'is a function' },
    { text: "addEventListener('fetch', () => {})", message: "uses addEventListener('fetch')" },
    { text: 'export const a = 1', message: 'src/index.ts has no default export.' },
    { text: 'const a = {}\nexport { a as default }', message: 'has its default export in a list' },
    { text: 'export default { queue() {} }', message: 'has no fetch handler' },
    { text: "import app from './app'\nexport default app", message: 'imports its app from ./app' },
    {
      text: 'export default wrap(app)',
      message: 'is neither a variable with a Hono app nor an object',
    },
    {
      text: 'const app = new Router()\nexport default app',
      message: 'exports app, which is not made with new Hono() in this file',
    },
    {
      text: "import { Hono } from 'hono'\nconst a = new Hono(), b = new Hono()\nexport default { fetch: (r) => (r.url ? a : b).fetch(r) }",
      message: 'does more than call one Hono app',
    },
    {
      text: "import { Hono } from 'hono'\nconst a = new Hono()\nexport default { fetch: (request, env) => a.fetch(env, request) }",
      message: 'does more than call one Hono app',
    },
    {
      text: 'export class IdempotencyObject {}\nexport default { fetch() {} }',
      message: 'src/index.ts already uses the name IdempotencyObject for something else.',
    },
  ])('refuses $text', ({ text, message }) => {
    expect(() => decideMain(text, 'src/index.ts')).toThrow(message)
  })
})
