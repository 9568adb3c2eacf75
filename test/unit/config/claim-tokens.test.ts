import { describe, expect, it } from 'vitest'

import { parseClaimTokens } from '../../../src/config/claim-tokens.ts'

describe('parseClaimTokens', () => {
  it.each([
    { form: 'one token', text: 'hush+/=', expected: [{ token: 'hush+/=', tenant: null }] },
    {
      form: 'a token for each tenant, and one for all',
      text: '{ "acme": "a", "*": "b" }',
      expected: [
        { token: 'a', tenant: 'acme' },
        { token: 'b', tenant: null },
      ],
    },
    {
      form: 'a tenant with the name of a prototype',
      text: '{"__proto__":"a"}',
      expected: [{ token: 'a', tenant: '__proto__' }],
    },
  ])('reads $form', ({ text, expected }) => {
    expect(parseClaimTokens(text)).toEqual(expected)
  })

  it.each([
    '',
    'two words',
    'line\nbreak',
    'tökén',
    '{',
    '{}',
    '{"acme":""}',
    '{"acme":"two words"}',
    '{"acme":1}',
    '{"":"a"}',
    '{"acme":{"token":"a"}}',
    '{"acme":"a","other":"a"}',
  ])('does not read %j', (text) => {
    expect(parseClaimTokens(text)).toBeNull()
  })
})
