import { describe, expect, it } from 'vitest'

import {
  body,
  business,
  describeSources,
  hasMcp,
  header,
  type KeySource,
  mcp,
  MCP_IGNORED,
  repeatability,
} from '../../../src/core/key-source.ts'

describe('describeSources', () => {
  it.each<{ sources: readonly KeySource[]; expected: string }>([
    { sources: [header('Idempotency-Key')], expected: 'the header Idempotency-Key' },
    { sources: [body('/meta/key')], expected: 'a string at /meta/key of the body' },
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
