import { Validator } from '@seriousme/openapi-schema-validator'
import { describe, expect, it } from 'vitest'

import ADMIN_OPENAPI from '../../../src/operators/admin-openapi.json' with { type: 'json' }
import { MAX_IDS } from '../../../src/operators/changes.ts'
import { MAX_BODY_BYTES } from '../../../src/operators/resolution.ts'

interface Operation {
  readonly operationId: string
  readonly responses: Readonly<Record<string, object>>
  readonly security?: unknown
}

type Item = Readonly<Record<string, Operation>>

const document = ADMIN_OPENAPI as unknown as {
  readonly paths: Readonly<Record<string, Item>>
  readonly components: Readonly<Record<string, Readonly<Record<string, object>>>>
}

const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item).flatMap(([method, operation]) =>
    method === 'parameters' ? [] : [{ name: `${method} ${path}`, path, operation }],
  ),
)

describe('the OpenAPI document of the admin API', () => {
  it('is valid OpenAPI 3.1', async () => {
    const validator = new Validator()
    const { valid, errors } = await validator.validate(structuredClone(document))
    expect(errors ?? []).toEqual([])
    expect([valid, validator.version]).toEqual([true, '3.1'])
  })

  it('would be told that it is not, were it not', async () => {
    const broken = { ...structuredClone(document), paths: { '/a': { get: { responses: 1 } } } }
    expect((await new Validator().validate(broken)).valid).toBe(false)
  })

  it('refers to nothing that it does not have, and has nothing that nobody refers to', () => {
    const refs = Array.from(
      JSON.stringify(document).matchAll(/"\$ref":"#\/components\/([^"]+)"/g),
      ([, ref = '']) => ref,
    )
    const there = Object.entries(document.components).flatMap(([kind, named]) =>
      kind === 'securitySchemes' ? [] : Object.keys(named).map((name) => `${kind}/${name}`),
    )
    expect([...new Set(refs)].toSorted()).toEqual(there.toSorted())
  })

  it.each(operations)('names $name, and asks for credentials', ({ path, operation }) => {
    expect(operation.operationId).toMatch(/^[a-z][A-Za-z]+$/)
    expect(operation.security).toBeUndefined()
    expect(operation.responses).toHaveProperty('401')
    expect(path.includes('{id}') && !('404' in operation.responses)).toBe(false)
  })

  it('states the limits that hold', () => {
    const { schemas, responses } = ADMIN_OPENAPI.components
    const ids = [schemas.Ids, schemas.Replays, ...schemas.Resolutions.oneOf]
    expect(ids.map(({ properties }) => properties.ids.maxItems)).toEqual(Array(4).fill(MAX_IDS))
    expect(responses.TooLarge.description).toContain(` ${MAX_BODY_BYTES} bytes`)
  })

  it('names no operation twice', () => {
    const names = operations.map(({ operation }) => operation.operationId)
    expect(new Set(names).size).toBe(names.length)
  })
})
