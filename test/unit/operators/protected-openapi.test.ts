import { Hono } from 'hono'
import { describe, expect, it } from 'vitest'

import { problem } from '../../../src/core/response/problem.ts'
import type { GatewayEnv } from '../../../src/http/gateway-env.ts'
import { problemResponse } from '../../../src/http/problem-response.ts'
import { openScope } from '../../../src/http/request-scope.ts'
import { toOpenApiFragment } from '../../../src/operators/protected-openapi.ts'
import { contractOf, keyOf, problemsOf } from '../../fakes/contract.ts'

const pathsOf = (...routes: readonly string[]) => {
  const fragment = toOpenApiFragment(
    contractOf(Object.fromEntries(routes.map((route) => [route, {}]))),
  )
  return Object.entries(fragment.paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method} ${path}`),
  )
}

const componentsOf = (over: Parameters<typeof contractOf>[0][string]) =>
  toOpenApiFragment(contractOf({ 'POST /a': over })).components

describe('toOpenApiFragment', () => {
  it.each([
    { route: 'POST /payments', expected: ['post /payments'] },
    { route: 'POST /', expected: ['post /'] },
    { route: 'PATCH /orders/:id/status', expected: ['patch /orders/{id}/status'] },
    { route: 'POST /orders/:id{[0-9]+}', expected: ['post /orders/{id}'] },
    { route: 'POST /orders/:id{[0-9]{3}}/x', expected: ['post /orders/{id}/x'] },
    { route: 'POST /orders/:id?', expected: ['post /orders', 'post /orders/{id}'] },
    { route: 'POST /:id?', expected: ['post /', 'post /{id}'] },
    { route: 'POST /a/:b?/:c?', expected: ['post /a', 'post /a/{b}', 'post /a/{b}/{c}'] },
    { route: 'ALL /any', expected: ['post /any', 'put /any', 'patch /any', 'delete /any'] },
    { route: 'POST /files/*', expected: [] },
    { route: 'POST /files/:path{.+}', expected: [] },
    { route: 'PURGE /cache', expected: [] },
  ])('writes $route as $expected', ({ route, expected }) => {
    expect(pathsOf(route)).toEqual(expected)
    const fragment = toOpenApiFragment(contractOf({ [route]: {} }))
    const unmapped = fragment['x-idempotency-unmapped']?.map((one) => one.route)
    expect(unmapped).toEqual(expected.length > 0 ? undefined : [route])
  })

  it.each([
    { path: '/orders/:id{[0-9]+}', value: '12', other: 'x' },
    { path: '/orders/:id{[0-9]{3}}', value: '123', other: '12' },
    { path: '/orders/:id{a|b}', value: 'b', other: 'bc' },
  ])('gives the parameter of $path the pattern that Hono obeys', async ({ path, value, other }) => {
    const app = new Hono().post(path, (c) => c.text('here'))
    const { paths } = toOpenApiFragment(contractOf({ [`POST ${path}`]: {} }))
    const [parameter] = paths['/orders/{id}']?.['post']?.parameters ?? []
    const { pattern = '' } = (parameter as { schema: { pattern?: string } }).schema
    for (const id of [value, other]) {
      const { status } = await app.request(`/orders/${id}`, { method: 'POST' })
      expect({ id, matches: new RegExp(pattern).test(id) }).toEqual({ id, matches: status === 200 })
    }
  })

  it('writes of a route for every method those that it protects', () => {
    const contract = contractOf({ 'ALL /any': { methods: ['GET', 'POST', 'PURGE'] } })
    expect(Object.keys(toOpenApiFragment(contract).paths['/any'] ?? {})).toEqual(['get', 'post'])
  })

  it('writes routes that differ in the names of their parameters as one path', () => {
    const routes = ['POST /orders/:id', 'DELETE /orders/:order']
    expect(pathsOf(...routes)).toEqual(['post /orders/{id}', 'delete /orders/{id}'])
    const { paths } = toOpenApiFragment(contractOf({ 'POST /a/:id': {}, 'PUT /a/:it': {} }))
    expect(paths['/a/{id}']?.['put']?.parameters[0]).toMatchObject({ name: 'id', in: 'path' })
  })

  it('keeps the first of two routes that OpenAPI cannot tell apart, and lists the second', () => {
    const fragment = toOpenApiFragment(
      contractOf({ 'POST /a/:id{[0-9]+}': {}, 'POST /a/:name': {}, 'ALL /a/:any': {} }),
    )
    expect(fragment.paths['/a/{id}']?.['post']?.['x-idempotency'].route).toBe('POST /a/:id{[0-9]+}')
    expect(fragment.paths['/a/{id}']?.['put']?.['x-idempotency'].route).toBe('ALL /a/:any')
    expect(fragment['x-idempotency-unmapped']?.map(({ route }) => route)).toEqual(['POST /a/:name'])
  })

  it('describes the key with its bounds and its lifetime', () => {
    const { parameters } = componentsOf({ retentionSeconds: 259_200, tombstoneSeconds: 5_400 })
    expect(parameters?.['IdempotencyKey']).toMatchObject({
      name: 'Idempotency-Key',
      in: 'header',
      required: true,
      schema: { type: 'string', minLength: 1, maxLength: 255 },
    })
    const text = JSON.stringify(parameters)
    expect(text).toContain('replayed for 3 days; for 90 minutes after that')
  })

  it.each([
    { format: 'any', expected: { type: 'string', minLength: 1, maxLength: 255 } },
    { format: 'uuid', expected: expect.objectContaining({ format: 'uuid' }) },
    {
      format: 'pattern',
      pattern: '^ord_',
      expected: expect.objectContaining({ pattern: '^ord_' }),
    },
    {
      format: 'pattern',
      pattern: '^ord_',
      flags: 'u',
      expected: expect.objectContaining({ pattern: '^ord_' }),
    },
    { format: 'pattern', pattern: 'uuid', expected: expect.objectContaining({ pattern: 'uuid' }) },
  ] as const)('gives the key the schema of the format $format', ({ expected, ...format }) => {
    const { parameters } = componentsOf({ key: keyOf({ flags: '', ...format }) })
    expect(parameters?.['IdempotencyKey']).toMatchObject({ schema: expected })
  })

  it('does not take a pattern for the name of a format', () => {
    const { parameters } = componentsOf({
      key: keyOf({ format: 'pattern', pattern: 'uuid', flags: '' }),
    })
    expect(parameters?.['IdempotencyKey']).not.toHaveProperty('schema.format')
  })

  it.each(['i', 'y', 's', 'm', 'v', 'iu'])(
    'says a pattern with the flags %s in words, since a schema has none',
    (flags) => {
      const key = keyOf({ format: 'pattern', pattern: '^[a-z]+$', flags })
      const { parameters } = componentsOf({ key })
      expect(parameters?.['IdempotencyKey']).toMatchObject({
        description: expect.stringContaining(`\`/^[a-z]+$/${flags}\``),
      })
      expect(parameters?.['IdempotencyKey']).not.toHaveProperty('schema.pattern')
    },
  )

  it.each([
    { name: 'it is optional', over: { key: keyOf({ required: false }) } },
    { name: 'the route only observes', over: { mode: 'observe' as const } },
    {
      name: 'there is another source',
      over: {
        key: keyOf({
          sources: [
            { in: 'header', name: 'Idempotency-Key' },
            { in: 'body', pointer: '/key' },
          ],
        }),
      },
    },
  ])('does not require the header where $name', ({ over }) => {
    expect(componentsOf(over)['parameters']?.['IdempotencyKey']).not.toHaveProperty('required')
  })

  it('has both headers of repeatable requests', () => {
    const { parameters } = componentsOf({ key: keyOf({ sources: [{ in: 'repeatability' }] }) })
    expect(parameters).toMatchObject({
      RepeatabilityRequestID: { name: 'Repeatability-Request-ID', required: true },
      RepeatabilityFirstSent: { name: 'Repeatability-First-Sent', required: true },
    })
  })

  it.each([
    { source: { in: 'body', pointer: '/key' } as const, words: '`/key` of the body' },
    {
      source: { in: 'business', pointers: ['/a', '/b'] } as const,
      words: 'made of `/a`, `/b` of the body',
    },
    { source: { in: 'query', name: 'k' } as const, words: 'the query parameter `k`' },
    { source: { in: 'param', name: 'id' } as const, words: 'the path parameter `id`' },
    { source: { in: 'function' } as const, words: 'what the API reads of the request' },
    { source: { in: 'mcp', meta: 'k' } as const, words: '`params._meta.k` of a `tools/call`' },
    {
      source: { in: 'batch', items: '/items', pointer: '/id', size: 9 } as const,
      words: '`/items/*/id` of the body, one for each of 9 items at most',
    },
  ])('says in words that the key is $words', ({ source, words }) => {
    const { paths, components } = toOpenApiFragment(
      contractOf({ 'POST /a': { key: keyOf({ sources: [source] }) } }),
    )
    expect(paths['/a']?.['post']?.description).toContain(words)
    expect(components['parameters']).toBeUndefined()
  })

  it('puts the problems of one status into one response and has no default', () => {
    const { paths, components } = toOpenApiFragment(contractOf({ 'POST /a': {} }))
    expect(Object.keys(paths['/a']?.['post']?.responses ?? {})).toEqual(['400', '409', '503'])
    expect(components['responses']?.['Problem409']).toMatchObject({
      description: expect.stringMatching(/`key-reused`.*\n.*`in-progress`/),
      headers: { 'Retry-After': {}, 'Hapax-Error': {} },
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
    })
    expect(components['responses']?.['Problem400']).not.toHaveProperty('headers.Retry-After')
  })

  it('has the members and headers that a problem is really answered with', async () => {
    const app = new Hono<GatewayEnv>().get('/', (c) => {
      openScope(c, {
        identify: async () => ({ kind: 'nobody' }),
        onError: undefined,
        isGateway: true,
      })
      return problemResponse(c, problem('in-progress', 'Wait.', { retryAfterMs: 1_000 }))
    })
    const answer = await app.request('/')
    const { schemas, headers, responses } = componentsOf({})
    const written = (await answer.json()) as { readonly error: object }
    expect(schemas?.['Problem']).toMatchObject({
      required: Object.keys(written),
      properties: { error: { required: Object.keys(written.error) } },
    })
    expect(responses?.['Problem409']).toHaveProperty([
      'content',
      answer.headers.get('Content-Type') ?? '',
    ])
    // The other two are on every answer of a protected route.
    const own = Object.keys(headers ?? {}).filter((name) => answer.headers.has(name))
    expect(own.toSorted()).toEqual(['Hapax-Error', 'Retry-After', 'X-Should-Retry'])
  })

  it('answers in the form of Stripe under its preset', () => {
    const { responses, schemas } = componentsOf({ preset: 'stripe' })
    const schema = { $ref: '#/components/schemas/ProblemError' }
    expect(responses?.['Problem409']).toMatchObject({ content: { 'application/json': { schema } } })
    expect(schemas).not.toHaveProperty('Problem')
  })

  it('shares a component between routes of the same content, and numbers it for others', () => {
    const { components } = toOpenApiFragment(
      contractOf({
        'POST /a': {},
        'POST /b': {},
        'POST /c': { retentionSeconds: 60, problems: problemsOf('key-missing') },
      }),
    )
    expect(Object.keys(components['parameters'] ?? {})).toEqual([
      'IdempotencyKey',
      'IdempotencyKey_2',
    ])
    expect(Object.keys(components['responses'] ?? {})).toEqual([
      'Problem400',
      'Problem409',
      'Problem503',
    ])
  })

  it('says of each operation what is promised', () => {
    const { paths } = toOpenApiFragment(contractOf({ 'POST /a': { unknown: 'resend' } }))
    expect(paths['/a']?.['post']?.['x-idempotency']).toEqual({
      operation: 'POST /a',
      route: 'POST /a',
      mode: 'enforce',
      sources: [{ in: 'header', name: 'Idempotency-Key' }],
      retentionSeconds: 86_400,
      tombstoneSeconds: 0,
      fingerprint: { version: '1', ignore: [], dates: [], headers: [], query: true },
      unknown: 'resend',
    })
  })

  it('refers to nothing that it does not have', () => {
    const fragment = toOpenApiFragment(
      contractOf({ 'POST /a': {}, 'PUT /b': { preset: 'stripe' } }),
    )
    const refs = Array.from(JSON.stringify(fragment).matchAll(/"\$ref":"#\/([^"]+)"/g), (m) => m[1])
    expect(refs.length).toBeGreaterThan(10)
    for (const ref of refs) expect(fragment).toHaveProperty((ref ?? '').split('/'))
  })
})
