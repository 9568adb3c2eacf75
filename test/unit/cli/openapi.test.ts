import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'

import type { JsonObject } from '../../../cli/openapi/json.ts'
import { mergeOpenApi, type MergeOptions } from '../../../cli/openapi/merge.ts'
import { rewrite } from '../../../cli/openapi/rewrite.ts'
import { toOpenApiFragment } from '../../../src/operators/protected-openapi.ts'
import { contractOf, keyOf, problemsOf } from '../../fakes/contract.ts'

type Routes = Parameters<typeof contractOf>[0]

const merge = (document: JsonObject, routes: Routes, options: MergeOptions = {}) => {
  const fragment = toOpenApiFragment(contractOf(routes))
  const merged = mergeOpenApi(document, fragment, options)
  const again = mergeOpenApi(merged.document, fragment, options)
  expect(again.document, 'merged twice').toEqual(merged.document)
  return merged
}

const documentOf = (paths: object, more: object = {}): JsonObject => ({
  openapi: '3.1.0',
  info: { title: 'Shop', version: '1' },
  paths,
  ...more,
})

const OK = { responses: { 200: { description: 'OK' } } }
const KEY = { $ref: '#/components/parameters/IdempotencyKey' }

describe('mergeOpenApi', () => {
  it.each([
    { name: 'the same path', path: '/orders/{id}' },
    { name: 'other names of parameters', path: '/orders/{orderId}' },
    {
      name: 'a server with a path',
      path: '/{id}',
      servers: [{ url: 'https://a.example/orders/' }],
    },
    { name: 'a relative server', path: '/{id}', servers: [{ url: '/orders' }] },
    {
      name: 'a server with variables',
      path: '/{id}',
      servers: [{ url: 'https://a.example/{base}', variables: { base: { default: 'orders' } } }],
    },
    { name: 'a server that the gateway hides', path: '/orders/{id}', servers: [{ url: '/v1' }] },
    { name: 'a prefix', path: '/{id}', options: { prefix: 'orders/' } },
    { name: 'a server of the path', path: '/{id}', item: { servers: [{ url: '/orders' }] } },
  ])('finds an operation under $name', ({ path, servers, options, item }) => {
    const given = documentOf({ [path]: { ...item, post: OK } }, servers && { servers })
    const { document, notes } = merge(given, { 'POST /orders/:id': {} }, options)
    expect(notes).toEqual([])
    expect(document['paths']).toHaveProperty([path, 'post', 'parameters'], [KEY])
  })

  it('takes a server with a path for likelier than none', () => {
    const given = documentOf(
      { '/v1/pay': { post: OK }, '/pay': { post: OK } },
      { servers: [{ url: '/v1' }] },
    )
    const { document } = merge(given, { 'POST /v1/pay': {} })
    expect(document['paths']).toHaveProperty(['/pay', 'post', 'x-idempotency'])
    expect(document['paths']).not.toHaveProperty(['/v1/pay', 'post', 'x-idempotency'])
  })

  it('finds nothing outside the prefix', () => {
    const given = documentOf({ '/pay': { post: OK } })
    const routes = { 'POST /pay': {} }
    expect(merge(given, routes, { prefix: '/v1' }).document).toEqual(given)
    const { document, notes } = merge(given, routes, { prefix: '/v1', missing: 'add' })
    expect(document).toEqual(given)
    expect(notes).toEqual(['POST /pay: not under /v1; left out.'])
  })

  it('keeps everything that an operation has', () => {
    const post = {
      operationId: 'pay',
      description: 'Pays.',
      tags: ['money'],
      security: [{ bearer: [] }],
      requestBody: { content: {} },
      parameters: [{ name: 'X-Trace', in: 'header', schema: { type: 'string' } }],
      responses: { 200: { description: 'OK' }, default: { description: 'Else' } },
    }
    const { document } = merge(documentOf({ '/pay': { post } }), { 'POST /pay': {} })
    expect(document['paths']).toMatchObject({
      '/pay': { post: { ...post, parameters: [...post.parameters, KEY] } },
    })
  })

  it('does not change what it was given', () => {
    const given = documentOf({ '/pay': { post: OK } })
    const copy = structuredClone(given)
    merge(given, { 'POST /pay': {} })
    expect(given).toEqual(copy)
  })

  it('gives the key of the document what it lacks, and nothing else', () => {
    const own = {
      name: 'idempotency-key',
      in: 'header',
      description: 'Ours.',
      schema: { maxLength: 64 },
    }
    const given = documentOf({ '/pay': { post: { ...OK, parameters: [own] } } })
    const { document, notes } = merge(given, { 'POST /pay': {} })
    expect(document['paths']).toHaveProperty(
      ['/pay', 'post', 'parameters'],
      [{ ...own, required: true, schema: { type: 'string', minLength: 1, maxLength: 64 } }],
    )
    expect(notes).toEqual([
      'POST /pay: Idempotency-Key: maxLength is 64 in the document and 255 in the contract; left as it is.',
    ])
  })

  it('leaves a complete key alone, wherever the document has it', () => {
    const own = {
      name: 'Idempotency-Key',
      in: 'header',
      required: true,
      description: 'Ours.',
      schema: { type: 'string', minLength: 1, maxLength: 255 },
    }
    const parameters = [{ $ref: '#/components/parameters/Key' }]
    const components = { parameters: { Key: own } }
    const inside = documentOf({ '/pay': { post: { ...OK, parameters } } }, { components })
    const above = documentOf({ '/pay': { post: OK, parameters } }, { components })
    const routes = { 'POST /pay': {} }
    expect(merge(inside, routes).document['paths']).toHaveProperty(
      ['/pay', 'post', 'parameters'],
      parameters,
    )
    expect(merge(above, routes).document['paths']).not.toHaveProperty([
      '/pay',
      'post',
      'parameters',
    ])
  })

  it('gives a response of the document what it lacks', () => {
    const own = {
      description: 'Conflict',
      headers: { 'retry-after': { description: 'Ours.' } },
      content: { 'application/json': { schema: { type: 'object' } } },
    }
    const given = documentOf({ '/pay': { post: { responses: { 409: own } } } })
    const { document } = merge(given, { 'POST /pay': {} })
    const response = (document as { paths: Record<string, { post: typeof OK }> }).paths['/pay']
      ?.post.responses as unknown as Record<string, { headers: object }>
    expect(response['409']).toMatchObject({
      ...own,
      content: {
        ...own.content,
        'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
      },
    })
    expect(Object.keys(response['409']?.headers ?? {})).not.toContain('Retry-After')
    expect(response['409']?.headers).toHaveProperty('Hapax-Error')
  })

  it('keeps the schema that a document has for problems', () => {
    const content = { 'application/problem+json': { schema: { type: 'object' } } }
    const given = documentOf({
      '/pay': { post: { responses: { 409: { description: 'Conflict', content } } } },
    })
    const { document } = merge(given, { 'POST /pay': {} })
    expect(document['paths']).toHaveProperty(['/pay', 'post', 'responses', '409', 'content'], {
      ...content,
      'text/markdown': { schema: { type: 'string' } },
    })
  })

  it('leaves what is shared with other operations as it is', () => {
    const shared = { $ref: '#/components/responses/Conflict' }
    const given = documentOf(
      {
        '/pay': { post: { responses: { 409: shared } } },
        '/x': { post: { responses: { 409: shared } } },
      },
      { components: { responses: { Conflict: { description: 'Conflict' } } } },
    )
    const { document } = merge(given, { 'POST /pay': {} })
    expect(document).toMatchObject({
      components: { responses: { Conflict: { description: 'Conflict' } } },
      paths: {
        '/pay': { post: { responses: { 409: { description: 'Conflict', headers: {} } } } },
        '/x': { post: { responses: { 409: shared } } },
      },
    })
    expect(document).not.toHaveProperty('components.responses.Conflict.headers')
  })

  it('does not overwrite a component of the same name', () => {
    const mine = { name: 'k', in: 'query' }
    const Problem = { type: 'string' }
    const given = documentOf(
      { '/pay': { post: OK } },
      { components: { parameters: { IdempotencyKey: mine }, schemas: { Problem } } },
    )
    const { document } = merge(given, { 'POST /pay': {} })
    expect(document).toMatchObject({
      components: {
        parameters: { IdempotencyKey: mine, IdempotencyKey_2: { name: 'Idempotency-Key' } },
        schemas: { Problem, Problem_2: { type: 'object' } },
        responses: {
          Problem409: {
            content: {
              'application/problem+json': { schema: { $ref: '#/components/schemas/Problem_2' } },
            },
          },
        },
      },
    })
  })

  it('gives each of its own components a name of its own beside one of the document', () => {
    const mine = { name: 'k', in: 'query' }
    const given = documentOf(
      { '/a': { post: OK }, '/b': { post: OK } },
      { components: { parameters: { IdempotencyKey: mine } } },
    )
    const routes = { 'POST /a': {}, 'POST /b': { retentionSeconds: 60 } }
    const again = merge(merge(given, routes).document, routes).document
    expect(again).toMatchObject({
      components: {
        parameters: {
          IdempotencyKey: mine,
          IdempotencyKey_2: { description: expect.stringContaining('for 1 day') },
          IdempotencyKey_3: { description: expect.stringContaining('for 1 minute') },
        },
      },
    })
  })

  it('gives a key that has a content no schema beside it', () => {
    const content = { 'text/plain': { schema: { type: 'string' } } }
    const parameters = [{ name: 'Idempotency-Key', in: 'header', content }]
    const given = documentOf({ '/pay': { post: { ...OK, parameters } } })
    const { document } = merge(given, { 'POST /pay': {} })
    expect(document['paths']).toMatchObject({ '/pay': { post: { parameters } } })
    expect(document['paths']).not.toHaveProperty(['/pay', 'post', 'parameters', 0, 'schema'])
  })

  it('takes over no component that nothing refers to', () => {
    const { document } = merge(documentOf({ '/b': { post: OK } }), {
      'POST /a': { preset: 'stripe', retentionSeconds: 60 },
      'POST /b': {},
    })
    expect(document).not.toHaveProperty('components.schemas.ProblemError')
    expect(Object.keys((document['components'] as { parameters: object }).parameters)).toHaveLength(
      1,
    )
  })

  it('renews what an earlier merge has written when the contract changes', () => {
    const given = documentOf({ '/a': { post: OK }, '/b': { post: OK } })
    const first = merge(given, {
      'POST /a': {},
      'POST /b': { retentionSeconds: 60, problems: problemsOf('key-missing', 'key-expired') },
    })
    const changed = {
      'POST /b': { retentionSeconds: 120, problems: problemsOf('key-missing') },
      'POST /a': { key: keyOf({ sources: [{ in: 'header', name: 'X-Key' }] }) },
    }
    const renewed = merge(first.document, changed).document
    const resolved = (document: JsonObject) => {
      const inline = (value: unknown): unknown => {
        if (Array.isArray(value)) return value.map(inline)
        if (typeof value !== 'object' || value === null) return value
        const { $ref: ref } = value as { $ref?: string }
        if (ref === undefined) {
          return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, inline(item)]))
        }
        const path = ref.slice(2).split('/')
        return inline(path.reduce<unknown>((node, key) => (node as JsonObject)[key], document))
      }
      return inline(document['paths'])
    }
    expect(resolved(renewed)).toEqual(resolved(merge(given, changed).document))
  })

  it('reports what the document does not have', () => {
    const given = documentOf({ '/pay': { get: OK } })
    const routes = { 'POST /pay': {}, 'PUT /orders/:id': {}, 'POST /files/*': {} }
    const { document, notes } = merge(given, routes)
    expect(document).toEqual(given)
    expect(notes).toEqual([
      'POST /files/*: OpenAPI has no words for such a path; left out.',
      'POST /pay: not in the document; left out.',
      'PUT /orders/{id}: not in the document; left out.',
    ])
  })

  it('does not miss methods of a route that takes every method', () => {
    const { notes } = merge(documentOf({ '/any': { post: OK, get: OK } }), { 'ALL /any': {} })
    expect(notes).toEqual([])
    const missing = merge(documentOf({ '/any': { get: OK } }), { 'ALL /any': {} }).notes
    expect(missing).toHaveLength(4)
  })

  it('reports an operation that the contract does not name any more', () => {
    const { document } = merge(documentOf({ '/a': { post: OK } }), { 'POST /a': {} })
    expect(merge(document, {}).notes).toEqual([
      'POST /a: bears x-idempotency, and the contract does not name it (any more).',
    ])
  })

  it('reports what is in another file', () => {
    const parameters = [{ $ref: './common.yaml#/Key' }]
    const given = documentOf({
      '/a': { $ref: './a.yaml' },
      '/b': { post: { ...OK, parameters } },
    })
    expect(merge(given, { 'POST /a': {}, 'POST /b': {} }).notes).toEqual([
      '/a: a $ref stands for the whole path; merge into what it refers to.',
      'POST /b: refers to parameters in another file, which were not looked at.',
    ])
  })

  it('adds what the document does not have, where it is asked to', () => {
    const orderId = { name: 'orderId', in: 'path', required: true, schema: { type: 'string' } }
    const given = documentOf(
      { '/orders/{orderId}': { get: { ...OK, parameters: [orderId] } } },
      { servers: [{ url: 'https://a.example/v1' }] },
    )
    const { document, notes } = merge(
      given,
      { 'PATCH /v1/orders/:id': {}, 'POST /v1/pay': {}, 'POST /other': {} },
      { missing: 'add' },
    )
    expect(notes).toEqual([])
    const paths = document['paths'] as JsonObject
    expect(Object.keys(paths)).toEqual(['/orders/{orderId}', '/pay', '/other'])
    expect(paths['/orders/{orderId}']).toHaveProperty('patch.parameters', [orderId, KEY])
  })

  it('declares a parameter of a path once', () => {
    const orderId = { name: 'orderId', in: 'path', required: true, schema: { type: 'string' } }
    const given = documentOf({ '/orders/{orderId}': { parameters: [orderId], get: OK } })
    const { document } = merge(given, { 'PATCH /orders/:id': {} }, { missing: 'add' })
    expect(document['paths']).toHaveProperty(['/orders/{orderId}', 'patch', 'parameters'], [KEY])
  })
})

const YAML = `# The API of the shop
openapi: 3.1.0
info:
  title: Shop
  version: '1.0' # as released
  x-factor: 1.50
  description: | # as it is
    # Not a comment

      - kept

  summary: "Caf\\u00e9"
tags: [a, b]
x-flow: {
  "a": 1, # first
  "b": [ 2 ]
}
paths:
  # Money moves here.
  /pay: &whole
    post:
      operationId: pay # the SDK's name
      requestBody: { content: { application/json: {} } }
      responses:
        200:
          description: >
            A text that is folded, and that would be folded elsewhere if anybody asked for eighty columns of it.
            On it goes.
        '409': &conflict
          description: Conflict
  /put: *whole
  /other:
    post:
      responses:
        '409': *conflict
        '422':
          <<: *conflict
          description: Other
components:
  schemas:
    Id:
      maximum: 9223372036854775807
# the end
`

const rewritten = (text: string, routes: Routes) => {
  const before = parse(text, { merge: true }) as JsonObject
  const { document } = merge(before, routes)
  const written = rewrite(text, before, document)
  expect(parse(written.replaceAll('\r', ''), { merge: true })).toEqual(document)
  return written
}

describe('rewrite', () => {
  it('changes nothing of YAML but what is new', () => {
    const written = rewritten(YAML, { 'POST /pay': {} }).split('\n')
    const gone = YAML.split('\n').filter((line) => !written.includes(line))
    // An alias that meant what has changed is written out.
    expect(gone.map((line) => line.trim())).toEqual([
      '/pay: &whole',
      "'409': &conflict",
      '/put: *whole',
      "'409': *conflict",
      '<<: *conflict',
    ])
  })

  it('leaves other meanings of an alias alone when it writes through one', () => {
    const written = parse(rewritten(YAML, { 'POST /other': {} }), { merge: true })
    expect(written).not.toHaveProperty(['paths', '/pay', 'post', 'responses', '409', 'headers'])
    expect(written).toHaveProperty(['paths', '/other', 'post', 'responses', '409', 'headers'])
    const whole = parse(rewritten(YAML, { 'POST /put': {} }), { merge: true })
    expect(whole).not.toHaveProperty(['paths', '/pay', 'post', 'x-idempotency'])
  })

  it.each([
    { name: 'YAML', text: YAML.replace('openapi: 3', 'openapi:   3') },
    { name: 'JSON', text: '{"openapi" : "3.1.0","n":1.50}' },
  ])('gives back $name as it stood where nothing is new', ({ text }) => {
    expect(rewrite(text, parse(text, { merge: true }), parse(text, { merge: true }))).toBe(text)
  })

  it.each([
    { name: 'two spaces', indent: '  ', end: '\n' },
    { name: 'four spaces', indent: '    ', end: '' },
    { name: 'a tab', indent: '\t', end: '\n' },
    { name: 'no indentation', indent: '', end: '' },
  ])('keeps $name in JSON, and numbers that a double does not hold', ({ indent, end }) => {
    const given = documentOf({ '/pay': { post: OK } }, { 'x-max': 1 })
    const space = indent === '' ? '' : ' '
    const text =
      JSON.stringify(given, null, indent).replace(
        /"x-max": ?1/,
        `"x-max":${space}9223372036854775807`,
      ) + end
    const { document } = merge(JSON.parse(text) as JsonObject, { 'POST /pay': {} })
    const written = rewrite(text, JSON.parse(text), document)
    expect(written).toContain(`"x-max":${space}9223372036854775807`)
    expect(JSON.parse(written)).toEqual(document)
    const plain = written.replace('9223372036854775807', '1')
    expect(plain).toBe(JSON.stringify({ ...document, 'x-max': 1 }, null, indent) + end)
  })

  it('keeps the ends of lines', () => {
    const written = rewritten(YAML.replaceAll('\n', '\r\n'), { 'POST /pay': {} })
    expect(written.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/)
  })
})
