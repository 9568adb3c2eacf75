import { describe, expect, it } from 'vitest'

import { createDigest } from '../../../src/core/digest.ts'
import {
  asClaim,
  asHeader,
  attribute,
  event,
  messageId,
  type MessageSource,
  readSource,
  readTenant,
} from '../../../src/queue/message-source.ts'

const messageOf = (body: unknown) => ({
  id: 'm-1',
  queue: 'work',
  body,
  attempts: 1,
  timestamp: new Date(0),
})

const EVENT = { specversion: '1.0', id: 'e-1', source: '/shop' }

describe('readSource', () => {
  it.each<{ of: string; source: MessageSource; body: unknown; expected: string | null }>([
    { of: 'an attribute', source: attribute('a'), body: { a: 'x' }, expected: 'x' },
    { of: 'a number', source: attribute('a'), body: { a: 42 }, expected: '42' },
    {
      of: 'a number that lost digits',
      source: attribute('a'),
      body: { a: 2 ** 53 },
      expected: null,
    },
    { of: 'a fraction', source: attribute('a'), body: { a: 1.5 }, expected: null },
    { of: 'a boolean', source: attribute('a'), body: { a: true }, expected: null },
    { of: 'no letter', source: attribute('a'), body: { a: '' }, expected: null },
    { of: 'what is not there', source: attribute('a'), body: {}, expected: null },
    { of: 'what is inherited', source: attribute('constructor'), body: {}, expected: null },
    { of: 'JSON in text', source: attribute('a'), body: '{"a":"x"}', expected: 'x' },
    { of: 'text', source: attribute('length'), body: 'text', expected: null },
    { of: 'null', source: attribute('a'), body: null, expected: null },
    { of: 'an event', source: event(), body: EVENT, expected: '["/shop","e-1"]' },
    {
      of: 'an event in text',
      source: event(),
      body: JSON.stringify(EVENT),
      expected: '["/shop","e-1"]',
    },
    { of: 'no event', source: event(), body: { id: 'e-1', source: '/shop' }, expected: null },
    {
      of: 'an event without source',
      source: event(),
      body: { ...EVENT, source: '' },
      expected: null,
    },
    { of: 'an event without id', source: event(), body: { ...EVENT, id: null }, expected: null },
    { of: 'the message', source: messageId(), body: null, expected: 'm-1' },
    {
      of: 'a function',
      source: ({ queue, id }) => `${queue}/${id}`,
      body: null,
      expected: 'work/m-1',
    },
    { of: 'a function without answer', source: () => undefined, body: null, expected: null },
  ])('reads $of', ({ source, body, expected }) => {
    expect(readSource(source, messageOf(body))).toBe(expected)
  })

  it('tells two events apart that only look alike joined', () => {
    const [one, other] = [
      { ...EVENT, source: 'a"', id: 'b' },
      { ...EVENT, source: 'a', id: '"b' },
    ]
    expect(readSource(event(), messageOf(one))).not.toBe(readSource(event(), messageOf(other)))
  })

  it('tells nothing of a message that its function could not read', () => {
    const read = () => readSource(({ body }) => JSON.parse(body as string), messageOf('secret!'))
    expect(read).toThrow('A function that reads messages threw: SyntaxError.')
  })
})

describe('readTenant', () => {
  const digest = createDigest('a secret')

  it.each([
    { of: 'itself', tenant: attribute('who'), expected: async () => 'acme' },
    {
      of: 'a header',
      tenant: asHeader('X-Account', attribute('who')),
      expected: () => digest('header', 'x-account', 'acme'),
    },
    {
      of: 'a claim',
      tenant: asClaim('sub', attribute('who')),
      expected: () => digest('claim', '', 'sub', 'acme'),
    },
    {
      of: 'a claim of an issuer',
      tenant: asClaim('sub', attribute('who'), 'https://id'),
      expected: () => digest('claim', 'https://id', 'sub', 'acme'),
    },
  ])('names it as $of', async ({ tenant, expected }) => {
    expect(await readTenant(tenant, messageOf({ who: 'acme' }), digest)).toBe(await expected())
    expect(await readTenant(tenant, messageOf({}), digest)).toBeNull()
  })
})
