import { describe, expect, it } from 'vitest'

import type { HapaxEnv } from '../../../src/config/env.ts'
import { listMalformed } from '../../../src/config/malformed.ts'

const webhookSecret = (bytes: number) => `whsec_${btoa('s'.repeat(bytes))}`

/** Everything that a deployment can set, as it must be. */
const GOOD: Partial<HapaxEnv> = {
  ORIGIN_URL: 'https://api.example.com/base',
  HAPAX_DIGEST_KEY: 'any text',
  HAPAX_SEAL_KEY: 'any text',
  HAPAX_SEAL_KEY_PREVIOUS: 'any text',
  HAPAX_WEBHOOK_SECRET: webhookSecret(24),
  HAPAX_WEBHOOK_SECRET_PREVIOUS: webhookSecret(64),
  HAPAX_ADMIN_TOKEN: 'short',
  HAPAX_ADMIN_TOKEN_PREVIOUS: 'a+b/c=',
  HAPAX_ACCESS_TEAM: 'my-team',
  HAPAX_ACCESS_AUD: 'f'.repeat(64),
  HAPAX_METRICS_TOKEN: 'token',
  HAPAX_CLAIMS_TOKEN: '{ "acme": "one", "*": "another" }',
  HAPAX_CLAIMS_TOKEN_PREVIOUS: 'token',
  CLOUDFLARE_ACCOUNT_ID: 'account',
  CLOUDFLARE_API_TOKEN: 'token',
  HAPAX_OPERATORS_HOST: 'Ops.example.com:8443',
  HAPAX_DATASET: 'my-dataset_2',
  HAPAX_ANALYTICS_URL: 'http://127.0.0.1:8123',
  HAPAX_POINTS_URL: 'http://127.0.0.1:8123',
}
const ORIGIN = { fetch: () => {} } as unknown as Fetcher
const listOf = (settings: object) => listMalformed({ ...GOOD, ...settings })

describe('listMalformed', () => {
  it.each([
    { what: 'everything is as it must be', settings: {} },
    {
      what: 'nothing is set',
      settings: Object.fromEntries(Object.keys(GOOD).map((name) => [name, undefined])),
    },
    {
      what: 'everything is empty',
      settings: Object.fromEntries(Object.keys(GOOD).map((name) => [name, ''])),
    },
    { what: 'a URL is not used', settings: { ORIGIN, ORIGIN_URL: 'not used' } },
  ])('says nothing where $what', ({ settings }) => {
    expect(listOf(settings)).toEqual([])
  })

  const secret = 'must be whsec_ and at least 24 bytes in Base64.'
  const token = 'must be a text without blanks and line breaks.'
  const claims =
    'must be a text without blanks and line breaks, or JSON with another such text for each tenant.'
  const url = 'must be an http or https URL.'
  it.each([
    { name: 'HAPAX_WEBHOOK_SECRET', value: webhookSecret(23), says: secret },
    { name: 'HAPAX_WEBHOOK_SECRET', value: btoa('s'.repeat(32)), says: secret },
    { name: 'HAPAX_WEBHOOK_SECRET_PREVIOUS', value: 'whsec_no-base-64!', says: secret },
    { name: 'HAPAX_ADMIN_TOKEN', value: 'two words', says: token },
    { name: 'HAPAX_ADMIN_TOKEN_PREVIOUS', value: 'token\n', says: token },
    { name: 'HAPAX_METRICS_TOKEN', value: ' token', says: token },
    { name: 'HAPAX_CLAIMS_TOKEN', value: '{ "acme": "two words" }', says: claims },
    { name: 'HAPAX_CLAIMS_TOKEN_PREVIOUS', value: 'two words', says: claims },
    { name: 'HAPAX_SEAL_KEY', value: { get: () => {} }, says: 'must be a text.' },
    { name: 'HAPAX_DIGEST_KEY', value: 42, says: 'must be a text.' },
    {
      name: 'HAPAX_ACCESS_TEAM',
      value: 'my-team.cloudflareaccess.com',
      says: 'must be the name that stands before .cloudflareaccess.com, without it.',
    },
    { name: 'ORIGIN_URL', value: 'api.example.com', says: url },
    { name: 'HAPAX_ANALYTICS_URL', value: 'ftp://a.test', says: url },
    { name: 'HAPAX_POINTS_URL', value: ':', says: url },
    ...['https://ops.test', 'ops.test/_hapax', 'a@ops.test', 'a b', 'ops.test?'].map((value) => ({
      name: 'HAPAX_OPERATORS_HOST',
      value,
      says: 'must be a host alone, such as ops.example.com.',
    })),
    {
      name: 'HAPAX_DATASET',
      value: 'my dataset',
      says: 'must be the name of a dataset: letters, digits, _ and -.',
    },
  ])('names $name, what it must be, and not its value', ({ name, value, says }) => {
    expect(listOf({ [name]: value })).toEqual([`${name} ${says}`])
  })

  it('knows further secrets that sign webhooks by their names', () => {
    const settings = {
      CRM_SECRET: webhookSecret(24),
      CRM_SECRET_PREVIOUS: 'hush',
      BANK_SECRET_PREVIOUS: webhookSecret(24),
    }
    const names = ['CRM_SECRET', 'BANK_SECRET', 'HAPAX_WEBHOOK_SECRET']
    expect(listMalformed({ ...GOOD, ...settings }, names)).toEqual([
      `CRM_SECRET_PREVIOUS ${secret}`,
      'BANK_SECRET_PREVIOUS is set without BANK_SECRET.',
    ])
  })

  it.each([
    { name: 'HAPAX_ACCESS_TEAM', without: 'HAPAX_ACCESS_AUD' },
    { name: 'HAPAX_ACCESS_AUD', without: 'HAPAX_ACCESS_TEAM' },
    { name: 'CLOUDFLARE_ACCOUNT_ID', without: 'CLOUDFLARE_API_TOKEN' },
    { name: 'CLOUDFLARE_API_TOKEN', without: 'CLOUDFLARE_ACCOUNT_ID' },
    { name: 'HAPAX_WEBHOOK_SECRET_PREVIOUS', without: 'HAPAX_WEBHOOK_SECRET' },
    { name: 'HAPAX_ADMIN_TOKEN_PREVIOUS', without: 'HAPAX_ADMIN_TOKEN' },
    { name: 'HAPAX_SEAL_KEY_PREVIOUS', without: 'HAPAX_SEAL_KEY' },
    { name: 'HAPAX_CLAIMS_TOKEN_PREVIOUS', without: 'HAPAX_CLAIMS_TOKEN' },
  ])('says that $name is set without $without', ({ name, without }) => {
    expect(listOf({ [without]: undefined })).toEqual([`${name} is set without ${without}.`])
  })
})

it('listMalformed says which variables are not the URL of an origin', () => {
  const env = { ...GOOD, PAY_URL: 'https://pay.example/v2', CRM_URL: 'crm.example' } as HapaxEnv
  expect(listMalformed(env, [], ['PAY_URL', 'CRM_URL', 'NOT_SET'])).toEqual([
    'CRM_URL must be an http or https URL without user, query and fragment, such as https://api.example.com/v2.',
  ])
})
