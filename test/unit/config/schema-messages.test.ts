import { describe, expect, it } from 'vitest'
import { en } from 'zod/locales'
import * as z from 'zod/mini'

import { toSchemaMessage } from '../../../src/config/schema-messages.ts'

const { localeError } = en()

const WRONG: readonly { name: string; schema: z.ZodMiniType; values: readonly unknown[] }[] = [
  {
    name: 'a type',
    schema: z.string(),
    values: [undefined, null, 1, [], {}, new Date(0), Object.create(null), () => 1, 1n, true],
  },
  { name: 'a number', schema: z.number(), values: ['1', Number.NaN, Infinity, -Infinity, null] },
  { name: 'a whole number', schema: z.number().check(z.int()), values: [1.5, 2 ** 53, -(2 ** 53)] },
  {
    name: 'a number within bounds',
    schema: z.number().check(z.minimum(1), z.maximum(9)),
    values: [0, 10],
  },
  {
    name: 'a length',
    schema: z.string().check(z.minLength(1), z.maxLength(2)),
    values: ['', 'abc'],
  },
  {
    name: 'a count',
    schema: z.array(z.unknown()).check(z.minLength(1), z.maxLength(1)),
    values: [[], [1, 2]],
  },
  { name: 'one of several values', schema: z.enum(['a', 'b']), values: ['c', 1] },
  { name: 'one value', schema: z.literal('a'), values: ['b'] },
  { name: 'a value that is no text', schema: z.literal([409, false]), values: ['409'] },
  { name: 'no other fields', schema: z.strictObject({}), values: [{ a: 1 }, { a: 1, 'b"': 2 }, 1] },
  { name: 'names', schema: z.record(z.enum(['a']), z.string()), values: [{ b: '' }, {}] },
  {
    name: 'names of a form',
    schema: z.record(z.string().check(z.regex(/^\d$/)), z.string()),
    values: [{ b: '' }],
  },
  { name: 'an instance', schema: z.instanceof(RegExp), values: ['', {}] },
  { name: 'a union', schema: z.union([z.string(), z.number()]), values: [true] },
]

describe('toSchemaMessage', () => {
  it.each(WRONG)('words what is wrong with $name as zod does', ({ schema, values }) => {
    const texts = (error: typeof localeError, value: unknown) =>
      schema.safeParse(value, { error }).error?.issues.map(({ message }) => message)
    for (const value of values) {
      const said = texts(toSchemaMessage, value)
      expect(said).not.toHaveLength(0)
      expect(said).toEqual(texts(localeError, value))
    }
  })
})
