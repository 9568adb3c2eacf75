import { describe, expect, it } from 'vitest'

import { perKey, sharded } from '../../../src/config/placement.ts'
import { guardNamed, placementBeside, within } from '../../../src/platform/objects.ts'

/** A namespace that tells how it was asked. */
function namespaceOf(isLocal = false) {
  const asked: unknown[] = []
  const getByName = (...args: unknown[]) => asked.push(args)
  const jurisdiction = (name: string) => {
    if (isLocal) throw new Error('Jurisdiction restrictions are not implemented in workerd.')
    asked.push(name)
    return { getByName }
  }
  return { asked, namespace: { getByName, jurisdiction } as never }
}

describe('guardNamed', () => {
  it.each([
    {
      what: 'anywhere',
      deployed: { placement: perKey(), jurisdiction: null },
      name: 'id',
      expected: [['id']],
    },
    {
      what: 'in the jurisdiction of the deployment',
      deployed: { placement: perKey(), jurisdiction: 'eu' as const },
      name: 'id',
      expected: ['eu', ['id']],
    },
    {
      what: 'where shards are to be created',
      deployed: {
        placement: sharded({ count: 2, locationHint: 'weur', previous: perKey() }),
        jurisdiction: 'eu' as const,
      },
      name: 'shard:2:1',
      expected: ['eu', ['shard:2:1', { locationHint: 'weur' }]],
    },
    {
      what: 'without the hint for shards',
      deployed: {
        placement: sharded({ count: 2, locationHint: 'weur', previous: perKey() }),
        jurisdiction: null,
      },
      name: 'id',
      expected: [['id']],
    },
  ])('finds an object $what', ({ deployed, name, expected }) => {
    const { asked, namespace } = namespaceOf()
    guardNamed({ OPERATIONS: namespace }, deployed, name)
    expect(asked).toEqual(expected)
  })
})

describe('within', () => {
  it('has only one place in local development', () => {
    const { namespace } = namespaceOf(true)
    expect(within(namespace, 'eu')).toBe(namespace)
  })

  it('does not store anything elsewhere where the platform refuses', () => {
    const refusing = {
      jurisdiction() {
        throw new Error('This account cannot use the jurisdiction.')
      },
    } as never
    expect(() => within(refusing, 'fedramp')).toThrow('cannot use')
  })
})

describe('placementBeside', () => {
  it('is in the jurisdiction of the object', () => {
    expect(placementBeside({ jurisdiction: 'eu' } as never)).toMatchObject({ jurisdiction: 'eu' })
    expect(placementBeside({} as never)).toMatchObject({ jurisdiction: null })
  })
})
