import { describe, expect, it } from 'vitest'

import {
  body,
  business,
  describeSources,
  hasMcp,
  header,
  type KeySource,
  MCP_IGNORED,
  param,
  query,
  repeatability,
} from '../../../../src/core/request/key-source.ts'
import { mcp } from '../../../../src/http/mcp.ts'

describe('describeSources', () => {
  it.each<{ sources: readonly KeySource[]; expected: string }>([
    { sources: [header('Idempotency-Key')], expected: 'the header Idempotency-Key' },
    { sources: [body('/meta/key')], expected: 'a string at /meta/key of the body' },
    { sources: [query('request')], expected: 'the parameter request of the query' },
    { sources: [param('order')], expected: 'the parameter order of the path' },
    {
      sources: [{ in: 'function', read: () => null, scope: 'operation' }],
      expected: 'what this route reads of the request',
    },
    { sources: [business('/order')], expected: 'values at /order of the body' },
    {
      sources: [business('/order', '/attempt')],
      expected: 'values at /order and /attempt of the body',
    },
    {
      sources: [repeatability()],
      expected: 'the headers Repeatability-Request-ID and Repeatability-First-Sent',
    },
    { sources: [mcp()], expected: 'a string at idempotencyKey of params._meta' },
    { sources: [mcp('com.example/key')], expected: 'a string at com.example/key of params._meta' },
    {
      sources: [header('X-Key'), body('/key'), repeatability()],
      expected:
        'the header X-Key or a string at /key of the body or the headers Repeatability-Request-ID and Repeatability-First-Sent',
    },
  ])('says "$expected"', ({ sources, expected }) => {
    expect(describeSources(sources)).toBe(expected)
  })
})

describe('hasMcp', () => {
  it.each<{ name: string; sources: readonly KeySource[]; expected: boolean }>([
    { name: 'an MCP server', sources: [mcp()], expected: true },
    { name: 'one whose key may be a header too', sources: [header('X'), mcp('k')], expected: true },
    {
      name: 'any other route',
      sources: [header('mcp'), body('/mcp'), business('/mcp'), repeatability()],
      expected: false,
    },
    { name: 'no source', sources: [], expected: false },
  ])('says $expected for $name', ({ sources, expected }) => {
    expect(hasMcp(sources)).toBe(expected)
  })
})

describe('MCP_IGNORED', () => {
  it('holds what two tries of one call differ in', () => {
    expect(MCP_IGNORED).toEqual([
      '/id',
      '/params/_meta',
      '/params/inputResponses',
      '/params/requestState',
    ])
  })
})

describe('the scope of a key', () => {
  it.each([
    { name: 'Idempotency-Key', expected: 'tenant' },
    { name: 'PayPal-Request-Id', expected: 'tenant' },
    { name: 'X-Request-Id', expected: 'tenant' },
    { name: 'I-Webhook-Idempotency-Token', expected: 'tenant' },
    { name: 'X-Prevention-Id', expected: 'tenant' },
    { name: 'id', expected: 'tenant' },
    { name: 'webhook-id', expected: 'operation' },
    { name: 'WEBHOOK-ID', expected: 'operation' },
    { name: 'svix-id', expected: 'operation' },
    { name: 'Ce-Id', expected: 'operation' },
    { name: 'X-GitHub-Delivery', expected: 'operation' },
    { name: 'X-Hook-UUID', expected: 'operation' },
    { name: 'PAYPAL-TRANSMISSION-ID', expected: 'operation' },
    { name: 'X-Shopify-Event-Id', expected: 'operation' },
    { name: 'x-amz-sns-message-id', expected: 'operation' },
    { name: 'Twitch-Eventsub-Message-Id', expected: 'operation' },
    { name: 'X-EventId', expected: 'operation' },
    { name: 'x-eventid', expected: 'operation' },
    { name: 'notification_id', expected: 'operation' },
  ])('is the $expected in the header $name', ({ name, expected }) => {
    expect(header(name).scope).toBe(expected)
  })

  it.each([
    { pointer: '/key', expected: 'tenant' },
    { pointer: '/event/order', expected: 'tenant' },
    { pointer: '/data/event_idempotency_key', expected: 'tenant' },
    { pointer: '/paid', expected: 'tenant' },
    { pointer: '/order_id', expected: 'tenant' },
    { pointer: '/id', expected: 'operation' },
    { pointer: '/data/id', expected: 'operation' },
    { pointer: '/eventId', expected: 'operation' },
    { pointer: '/meta/messageID', expected: 'operation' },
    { pointer: '/a~1event', expected: 'operation' },
  ])('is the $expected at $pointer of the body', ({ pointer, expected }) => {
    expect(body(pointer).scope).toBe(expected)
    const [name = ''] = pointer.split('/').slice(-1)
    expect(query(name).scope).toBe(expected)
  })

  it('is the operation for a parameter of the path', () => {
    expect(param('payment').scope).toBe('operation')
  })

  it.each(['tenant', 'operation'] as const)('is the %s where the source says so', (scope) => {
    const said = [header, body, query, param].map((source) => source('/event', { scope }).scope)
    expect(said).toEqual([scope, scope, scope, scope])
    expect(header('X-Request-Id', { scope }).scope).toBe(scope)
  })
})
