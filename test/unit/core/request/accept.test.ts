import fc from 'fast-check'
import { Hono } from 'hono'
import { accepts } from 'hono/accepts'
import { describe, expect, it } from 'vitest'

import { preferredType } from '../../../../src/core/request/accept.ts'

const SUPPORTED = ['application/problem+json', 'application/json', 'text/markdown'] as const

describe('preferredType', () => {
  it.each([
    { accept: '', expected: null },
    { accept: '*/*', expected: null },
    { accept: 'text/html, */*', expected: null },
    { accept: 'text/markdown', expected: 'text/markdown' },
    { accept: 'TEXT/Markdown', expected: 'text/markdown' },
    { accept: 'text/markdown, application/json', expected: 'text/markdown' },
    { accept: 'text/markdown;q=0.5, application/json', expected: 'application/json' },
    { accept: 'text/markdown;q=0', expected: null },
    { accept: 'text/*, text/markdown;q=0', expected: null },
    { accept: 'application/*', expected: 'application/problem+json' },
    { accept: 'application/*, application/problem+json;q=0', expected: 'application/json' },
    { accept: 'application/*, text/markdown', expected: 'text/markdown' },
    {
      accept: 'text/markdown;variant="a,b;c";q=0.2, application/json;q=0.1',
      expected: 'text/markdown',
    },
    { accept: 'text/markdown ; Q = 0.1 , application/json;q="0.2"', expected: 'application/json' },
    { accept: 'text/markdown;q=high', expected: 'text/markdown' },
    { accept: 'text/markdown;q=-1', expected: null },
    { accept: 'application/json, text/markdown;q=2', expected: 'application/json' },
    { accept: ', ,text/markdown', expected: 'text/markdown' },
  ])('reads $accept as $expected', ({ accept, expected }) => {
    expect(preferredType(accept, SUPPORTED)).toBe(expected)
  })

  it('prefers what the helper of Hono prefers', async () => {
    const app = new Hono().get('/', (c) =>
      c.text(accepts(c, { header: 'Accept', supports: [...SUPPORTED], default: 'none' })),
    )
    const range = fc.tuple(
      fc.constantFrom(...SUPPORTED, 'text/*', 'application/*', '*/*', 'text/html', 'Text/Markdown'),
      fc.constantFrom('', ';v=1', '; v="a"', ';charset=utf-8 '),
      fc.constantFrom('', ';q=0', ';q=0.5', '; q=0.50', ';q=1', ';q=0.001', ';Q=0.4', ';q=x'),
    )
    const header = fc.array(
      range.map((parts) => parts.join('')),
      { maxLength: 5 },
    )
    await fc.assert(
      fc.asyncProperty(header, async (ranges) => {
        const accept = ranges.join(', ')
        const answer = await app.request('/', { headers: { Accept: accept } })
        expect(preferredType(accept, SUPPORTED) ?? 'none').toBe(await answer.text())
      }),
    )
  })
})
