import { describe, expect, it } from 'vitest'

import { fromBase64 } from '../../../../src/core/base64.ts'
import { createDigest } from '../../../../src/core/digest.ts'
import { findDifferences } from '../../../../src/core/fingerprint/differences.ts'
import {
  type ComparedRequest,
  readBody,
  toComparedRequest,
} from '../../../../src/core/fingerprint/fingerprint.ts'
import {
  placesKeyOf,
  sealPlaces,
  toExplanation,
} from '../../../../src/core/operation/explanation.ts'
import { unseal } from '../../../../src/core/seal.ts'

const RULES = { ignore: [], dates: [], headers: ['X-Tag'], query: true }
const MIB = 1_048_576

async function readRequest(text: string): Promise<ComparedRequest> {
  const headers = new Headers({ 'Content-Type': 'application/json', 'X-Tag': 't' })
  const body = await readBody(new TextEncoder().encode(text), headers, RULES, MIB)
  if (!body.ok) throw new Error('The body must parse.')
  const head = { method: 'POST', path: '/payments', search: '?a=1', headers }
  return toComparedRequest(head, body.value, RULES)
}

async function open(places: string, secret?: string): Promise<[string, string][]> {
  const key = placesKeyOf(secret, 'operation-1', 'key-1')
  const bytes = await unseal(key, 'operation-1', fromBase64(places))
  return JSON.parse(new TextDecoder().decode(bytes)) as [string, string][]
}

const BODY = '{"amount":4200,"to":{"name":"Ä"}}'

/** Made by earlier versions: their records are compared with the requests of this one. */
const MADE_BEFORE = [
  {
    secret: undefined,
    digests: [
      ['method', '4iXxeRUXWTI'],
      ['path', 'm3G-WyzRo7G'],
      ['query', 'ydDKsqrmlEL'],
      ['media-type', 'jCxZxoUycsm'],
      ['headers:x-tag', '5OYlWthFddM'],
      ['body', 'JEWuFr5hlEA'],
      ['bytes', 'ENRRHuOsvOu'],
      ['query:/a', 'egN0zZmeahM'],
      ['body:/amount', 'PDk8WIfwJFZ'],
      ['body:/to/name', 'UKdRzttNmLG'],
    ],
    sealed:
      'kUPp9lZtzUgiuxS6Hb2UywogNHBpJBrz6Nbha6/vwxAzSyUJO5eR6L3Yo98Smt4q74KXd/9nUX7WBgW3oWOZN3Lf7ZGNKloDOLMbOsJ+tI57oM8g239HNEHnNOnDBdEf/vjLkXvFqWSQn6fhg8z37C+yJwPiT465IObIRmJX08/1kFiEG8t6Z5HUDYORdA0bxv8aZ6CJ/rqYbskUgYUSfpVTr5RnvfwFSrFrtjCTqd4tIOw9hrg8+knyt/XhZLgEp2zP8iP8NqVVBGkQyxt75IQCdiTvueCGI4EsS91ito6yz1bJbuE/w5BbxENHhqYH67GPqxLA80RQ6eChKkMIxYr+RDtxdWXpF6lPKikemLMoBwoF82535IDcQS4lL8dw7KDUbknUVuJyogI=',
  },
  {
    secret: 'secret',
    digests: [
      ['method', '7xcH_i7U132'],
      ['path', 'h9agKCv8yqn'],
      ['query', 'CYuJyocErvH'],
      ['media-type', 'vF-DB5ATQHZ'],
      ['headers:x-tag', 'c9XOMD6CVBY'],
      ['body', '8MqsqEv6dNk'],
      ['bytes', '7Z0RzpTuty0'],
      ['query:/a', 'Vqw6pYILpRG'],
      ['body:/amount', 'EnRLcmXAHJC'],
      ['body:/to/name', 'JZww3x8FZbE'],
    ],
    sealed:
      'C7yBpRNyRRUUCPmHAjW9lGPesXA6haV+fA7gpxfpYOwSkqdSIzQVyJ6rxQHKOFYfKVzHzg+uCCqfMvik2Fk4VzWOsGSh8AELl60v8Cabi6FYm9ho3ivvbysm2ytACBua2+XbGTdRMq1TuvKoU5pYXxzp1yuMGyqGTrmFMTnnHULxNaBtOKfKAQ+Z5apLixgj29q5jfQ9yRlAoDbp5W2ilIo5C5NofweFXqnnchxzFJ8PYvws8xXxmpGZ6R40iMiDFdMXnXX+vR0n6d9n1WsZPtuEiuBioJMXFOCxF2QSjkFGqhlJjlnnZYDbAqPFIS3lamJFxxZRgdq9+57y3kZvWD/tLBiulD/7swbrj1G2hWa1mh85khv4Rjp3Zd7E1UlFBWam19AVvSdIRkc=',
  },
]

describe('sealPlaces', () => {
  it.each(MADE_BEFORE)(
    'opens what earlier versions have sealed with the secret $secret, and compares with it',
    async ({ secret, digests, sealed }) => {
      const opened = await open(sealed, secret)
      expect(opened).toEqual(digests)
      const request = await readRequest(BODY.replace('"Ä"', '"a longer name"'))
      const known = new Map(opened)
      expect(findDifferences(known, request, createDigest(secret), 'key-1')).toEqual({
        parts: ['body'],
        pointers: ['/to/name'],
        queryPointers: [],
      })
    },
  )

  it('seals the places that earlier versions have sealed', async () => {
    const explanation = toExplanation(await readRequest(BODY), 'key-1')
    const opened = await open(sealPlaces('secret', 'operation-1', explanation), 'secret')
    expect(opened.map(([place]) => place)).toEqual(MADE_BEFORE[0]?.digests.map(([place]) => place))
  })

  it('contains neither names nor values that can be read', async () => {
    const explanation = toExplanation(await readRequest(BODY), 'key-1')
    const places = sealPlaces(undefined, 'operation-1', explanation)
    expect(new TextDecoder('latin1').decode(fromBase64(places))).not.toMatch(/amount|4200|method/)
  })
})

describe('toExplanation', () => {
  it.each([
    { name: 'up to 64 KiB', length: 65_536, expected: 'request' },
    { name: 'of more than 64 KiB', length: 65_537, expected: 'digests' },
  ])('sends of a body $name the $expected', async ({ length, expected }) => {
    const request = await readRequest(`"${'x'.repeat(length - 2)}"`)
    const explanation = toExplanation(request, 'key-1')
    expect(explanation.kind).toBe(expected)
  })

  it('survives the way to the object, and seals the same of a large body', async () => {
    const request = await readRequest(`"${'x'.repeat(65_536)}"`)
    const sent = structuredClone(toExplanation(request, 'key-1'))
    const direct = { kind: 'request', clientKey: 'key-1', request } as const
    const [one, other] = [sent, direct].map((said) => sealPlaces(undefined, 'operation-1', said))
    expect(await open(one ?? '')).toEqual(await open(other ?? ''))
  })
})
