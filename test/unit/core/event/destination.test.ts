import { describe, expect, it } from 'vitest'

import { queue, secretsOf, toDestination, webhook } from '../../../../src/core/event/destination.ts'
import { secret } from '../../../../src/core/event/secret.ts'

const URL = 'https://crm.example/hooks'
const CRM = webhook(URL, {
  keyId: '2026-11',
  headers: { 'X-Team': 'crm', Authorization: secret('CRM_TOKEN', { scheme: 'Bearer' }) },
  secret: 'CRM_WEBHOOK_SECRET',
})

const withHeader = (name: string, value: unknown) => ({
  ...webhook(URL),
  headers: { [name]: value },
})

function faultOf(value: unknown): string {
  const read = toDestination(value)
  return read.ok ? '' : read.error
}

describe('toDestination', () => {
  it('takes a queue, and a URL without anything else', () => {
    for (const to of [queue('OUTBOX'), webhook(URL), webhook('http://127.0.0.1:8789')]) {
      expect(toDestination(to)).toEqual({ ok: true, value: to })
    }
  })

  it('writes one destination in one way, whatever the order of its members', () => {
    const shuffled = {
      headers: {
        Authorization: { scheme: 'Bearer', secret: 'CRM_TOKEN' },
        'X-Team': 'crm',
      },
      secret: 'CRM_WEBHOOK_SECRET',
      url: URL,
      keyId: '2026-11',
      to: 'webhook',
    }
    const [one, other] = [CRM, shuffled].map((to) => JSON.stringify(toDestination(to)))
    expect(one).toBe(other)
    expect(one).toContain('"to":"webhook","url":')
  })

  it('leaves out what says nothing, as an event of an earlier version has it', () => {
    const bare = { ...webhook(URL), secret: undefined, headers: {}, keyId: undefined }
    expect(JSON.stringify(toDestination(bare))).toBe(JSON.stringify(toDestination(webhook(URL))))
  })

  it.each([
    { what: 'a secret itself', to: webhook(URL, { secret: `whsec_${'a'.repeat(32)}` }) },
    { what: 'no name of a secret', to: webhook(URL, { secret: 'a b' }) },
    { what: 'an empty name', to: webhook(URL, { secret: '' }) },
  ])('refuses $what where the name of a secret belongs, and does not repeat it', ({ to }) => {
    expect(faultOf(to)).toMatch(/^secret: must be the name of a secret/)
    expect(faultOf(to)).not.toContain('aaa')
  })

  it.each(['', 'a b', 'ü', 'a'.repeat(129), 'whsec_hush'])('refuses the key id %j', (keyId) => {
    expect(faultOf(webhook(URL, { keyId }))).toMatch(/^keyId: /)
  })

  it.each([
    'Authorization',
    'PROXY_AUTHORIZATION',
    'Cookie',
    'X-Auth-Token',
    'X-AccessToken',
    'X-Api-Key',
    'apikey',
    'X-Client-Secret',
    'X-Password',
    'X-Passphrase',
    'X-Auth',
  ])('refuses a text in %s and names the remedy, but takes a secret there', (name) => {
    expect(faultOf(withHeader(name, 'hush'))).toContain("write secret('NAME')")
    expect(faultOf(withHeader(name, 'hush'))).not.toContain('hush')
    expect(faultOf(withHeader(name, secret('CRM_TOKEN')))).toBe('')
  })

  it.each([
    'Bearer hush',
    'basic aHVzaA==',
    'whsec_hush',
    'sk_live_hush',
    'eyJhbGci.eyJzdWIi.hush',
  ])('refuses what looks like a credential in any header: %s', (value) => {
    expect(faultOf(withHeader('X-Team', value))).toContain("write secret('NAME')")
  })

  it.each(['X-Team', 'X-Key-Id', 'X-Monkey', 'X-Author', 'Accept', 'User-Agent'])(
    'takes a text in %s',
    (name) => {
      expect(faultOf(withHeader(name, 'crm team, 7'))).toBe('')
    },
  )

  it.each([
    'webhook-id',
    'Webhook-Signature',
    'webhook-key-id',
    'Content-Type',
    'content-length',
    'Content-Encoding',
    'Host',
    'Connection',
    'Transfer-Encoding',
    'Proxy-Authorization',
  ])('refuses %s, which the delivery writes', (name) => {
    expect(faultOf(withHeader(name, 'x'))).toContain('is written by the delivery itself')
    expect(faultOf(withHeader(name, secret('A')))).toContain('is written by the delivery itself')
  })

  it.each([
    { what: 'a line break', value: 'a\r\nX-Other: b' },
    { what: 'nothing', value: '' },
    { what: 'a blank at its end', value: 'a ' },
    { what: 'another alphabet', value: 'ü' },
    { what: 'a number', value: 1 },
    { what: 'a secret without a name', value: secret('') },
    { what: 'a scheme that is none', value: secret('A', { scheme: 'a b' }) },
    { what: 'more than a secret has', value: { ...secret('A'), value: 'b' } },
  ])('refuses a header that holds $what', ({ value }) => {
    expect(faultOf(withHeader('X-Team', value))).toMatch(/^headers: X-Team must be/)
  })

  it.each([
    { what: 'two spellings of one name', headers: { 'X-Team': 'a', 'x-team': 'b' } },
    { what: 'a list', headers: ['a'] },
    { what: 'Headers', headers: new Headers({ 'X-Team': 'a' }) },
    { what: 'a Map', headers: new Map([['X-Team', 'a']]) },
    { what: 'a name that is none', headers: { 'X Team': 'a' } },
    {
      what: '21 names',
      headers: Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`X-${n}`, 'a'])),
    },
  ])('refuses headers that are $what', ({ headers }) => {
    expect(faultOf({ ...webhook(URL), headers })).toMatch(/^headers: /)
  })

  it.each([
    { what: 'nothing', to: undefined },
    { what: 'a relative URL', to: webhook('/hooks') },
    { what: 'a queue without a name', to: queue('') },
    { what: 'a queue with headers', to: { ...queue('A'), headers: {} } },
    { what: 'a misspelt option', to: { ...webhook(URL), secrets: 'CRM_WEBHOOK_SECRET' } },
  ])('refuses $what', ({ to }) => {
    expect(faultOf(to)).toMatch(/^must be queue\('BINDING'\) or webhook\(/)
  })
})

describe('secretsOf', () => {
  it('names what a delivery needs, the secret that signs first', () => {
    const read = toDestination(CRM)
    if (!read.ok || read.value.to !== 'webhook') throw new Error('no webhook')
    expect(secretsOf(read.value)).toEqual(['CRM_WEBHOOK_SECRET', 'CRM_TOKEN'])
    expect(secretsOf({ to: 'webhook', url: URL })).toEqual(['HAPAX_WEBHOOK_SECRET'])
  })
})
