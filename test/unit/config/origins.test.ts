import { describe, expect, it } from 'vitest'

import {
  deployedOrigins,
  deployOrigins,
  noSuchOrigin,
  originVariables,
} from '../../../src/config/deployed-origins.ts'
import { type OriginOptions, service, url } from '../../../src/config/origins.ts'
import { secret } from '../../../src/core/event/secret.ts'

describe('url', () => {
  it.each(['https://api.example.com', 'http://127.0.0.1:8788/v2/', 'https://api.example.com/a/b'])(
    'takes the URL %s',
    (at) => {
      expect(url(at).place).toEqual({ kind: 'url', url: at })
    },
  )

  it('takes the name of a variable, whose URL can differ per environment', () => {
    expect(url('PAYMENTS_URL').place).toEqual({ kind: 'variable', name: 'PAYMENTS_URL' })
  })

  it.each([
    'ftp://api.example.com',
    'api.example.com',
    'https://user:word@api.example.com',
    'https://api.example.com/?a=1',
    'https://api.example.com/#a',
    '/v2',
    '',
    7,
    undefined,
  ])('refuses %s', (at) => {
    expect(() => url(at as never)).toThrow(/url\(\) needs an http or https URL .* or the name of/)
  })
})

describe('service', () => {
  it('takes the name of a binding, and nothing else', () => {
    expect(service('CRM').place).toEqual({ kind: 'service', binding: 'CRM' })
    for (const binding of ['https://crm.example', '', {}, undefined]) {
      expect(() => service(binding as never)).toThrow(/needs the name of a service binding/)
    }
  })
})

describe('the headers of an origin', () => {
  const at = (headers: OriginOptions['headers']) => url('CRM_URL', headers && { headers })
  const token = secret('TOKEN')
  const ACCESS = ['client-id', 'client-secret', 'jwt-assertion'].map((name) => `cf-access-${name}`)

  it.each([
    { headers: undefined, removed: [] },
    { headers: { 'X-Version': '1' }, removed: [] },
    { headers: { 'X-Key': token }, removed: ['authorization', ...ACCESS, 'cookie'] },
    { headers: { Authorization: token }, removed: [...ACCESS, 'cookie'] },
    { headers: { 'x-key': token, authorization: true, COOKIE: true }, removed: ACCESS },
    { headers: { Cookie: false, 'X-Session': false }, removed: ['cookie', 'x-session'] },
    {
      headers: { 'X-Key': token, 'X-Session': false },
      removed: ['authorization', ...ACCESS, 'cookie', 'x-session'],
    },
  ])('removes $removed of the client for $headers', ({ headers, removed }) => {
    expect(at(headers).removed).toEqual(removed)
  })

  it.each([
    { headers: { Authorization: 'Bearer abc' }, says: /Authorization would be stored in clear/ },
    { headers: { 'Idempotency-Key': 'a' }, says: /Idempotency-Key is written by the gateway/ },
    { headers: { Host: false }, says: /Host is written by the gateway/ },
    { headers: { 'X Key': true }, says: /must be names of headers/ },
    { headers: { 'X-Key': token, 'x-key': false }, says: /each header once/ },
    { headers: { 'X-Key': 7 }, says: /must be a text of visible ASCII, or secret/ },
    { headers: { 'X-Key': null }, says: /must be a text of visible ASCII, or secret/ },
    { headers: new Headers({ 'X-Key': 'a' }), says: /must be an object/ },
  ])('cannot be $headers', ({ headers, says }) => {
    expect(() => at(headers as never)).toThrow(says)
    expect(() => at(headers as never)).toThrow(TypeError)
  })
})

describe('the options of an origin', () => {
  it.each(['/crm', '/crm/v1', '/a.b/c-d/~e'])('can strip %s', (strip) => {
    expect(url('CRM_URL', { strip }).strip).toBe(strip)
  })

  it.each(['crm', '/crm/', '/', '', '/a//b', '/a/..', '/./a', '/a%2fb', '/a?b', 7])(
    'cannot strip %s',
    (strip) => {
      expect(() => url('CRM_URL', { strip: strip as never })).toThrow(/strip: must be a prefix/)
    },
  )

  it.each([
    { options: { timeout: '1 hour' }, says: /timeout: must be a duration/ },
    { options: { retry: { attempts: 0 } }, says: /retry\.attempts: / },
    { options: { retry: { on: ['unknown'] } }, says: /retry\.on: belongs in the policy/ },
    { options: { prefix: '/crm' }, says: /no option prefix/ },
  ])('cannot be $options', ({ options, says }) => {
    expect(() => service('CRM', options as never)).toThrow(says)
    expect(() => service('CRM', options as never)).toThrow(TypeError)
  })
})

describe('deployOrigins', () => {
  it('merges the origins of all gateways, if those of one name are the same', () => {
    deployOrigins({ origins: { payments: url('https://pay.test', { timeout: '5s' }) } })
    deployOrigins({})
    deployOrigins({
      origins: { payments: url('https://pay.test', { timeout: '5s' }), crm: url('CRM_URL') },
    })
    expect([...deployedOrigins().keys()]).toEqual(['payments', 'crm'])
    expect(originVariables()).toEqual(['CRM_URL'])
    expect(() => deployOrigins({ origins: { payments: url('https://pay.test') } })).toThrow(
      new TypeError('All gateways of a Worker have the same origin payments.'),
    )
    expect(noSuchOrigin('other')).toBe('there is no other in origins, which has payments, crm')
  })

  it.each([
    { origins: { 'a b': url('CRM_URL') }, says: /a name has up to 32 letters/ },
    { origins: { ['a'.repeat(33)]: url('CRM_URL') }, says: /a name has up to 32 letters/ },
    { origins: { 1: url('CRM_URL') }, says: /a name has up to 32 letters/ },
    { origins: { crm: 'https://crm.test' }, says: /crm must be url\('https:\/\/…'\) or service/ },
    { origins: { crm: { ...url('CRM_URL') } }, says: /crm must be url/ },
  ])('refuses $origins', ({ origins, says }) => {
    expect(() => deployOrigins({ origins: origins as never })).toThrow(says)
  })

  it('takes a name of 32 characters', () => {
    const name = 'a'.repeat(32)
    deployOrigins({ origins: { [name]: url('CRM_URL') } })
    expect(deployedOrigins().has(name)).toBe(true)
  })
})
