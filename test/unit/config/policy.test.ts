import { describe, expect, it } from 'vitest'

import { parsePolicy, type PolicyOptions, probe } from '../../../src/config/policy.ts'
import { queue } from '../../../src/core/event/destination.ts'
import {
  body,
  business,
  header,
  type KeySource,
  param,
  query,
  repeatability,
} from '../../../src/core/request/key-source.ts'
import { from } from '../../../src/http/key-function.ts'
import { mcp } from '../../../src/http/mcp.ts'

const MIB = 1_048_576
const YEAR_MS = 31_536_000_000

/** What nobody who has types would write. */
const untyped = (options: unknown) => options as PolicyOptions

function valueOf(options: PolicyOptions) {
  const parsed = parsePolicy(options)
  if (!parsed.ok) throw new Error(parsed.error.join('\n'))
  return parsed.value
}

function faultsOf(options: unknown): readonly string[] {
  const parsed = parsePolicy(untyped(options))
  return parsed.ok ? [] : parsed.error
}

describe('parsePolicy', () => {
  it('has a default for every field', () => {
    expect(valueOf({})).toEqual({
      required: true,
      key: [{ in: 'header', name: 'Idempotency-Key', scope: 'tenant' }],
      keyFormat: { name: 'any', pattern: /^/, minLength: 1 },
      mode: 'enforce',
      enforce: { percent: 0, tenants: [] },
      preset: 'default',
      retention: 86_400_000,
      tombstone: 0,
      wait: 10_000,
      timeout: 30_000,
      lease: 60_000,
      fingerprint: { ignore: [], dates: [], headers: [], query: true },
      outcomes: {},
      unknown: 'hold',
      retry: {
        attempts: 1,
        baseMs: 200,
        capMs: 5_000,
        deadlineMs: 30_000,
        on: ['not_executed'],
        budget: { ratio: 0.2, floor: 10 },
        breaker: false,
      },
      durable: false,
      onStoreError: 'closed',
      limits: { request: MIB, response: 8 * MIB, rate: false },
      snapshot: { setCookie: false, omit: [], seal: false },
      mismatchStatus: 409,
      forwardKey: 'derived',
      events: [],
    })
  })

  it('takes every field as it is written, times in milliseconds', () => {
    const options = {
      operation: 'create-payment',
      required: false,
      key: [header('X-Key'), business('/order'), mcp('key')],
      keyFormat: { pattern: /^order-/, minLength: 8 },
      mode: 'observe',
      enforce: { percent: 12.5, tenants: ['tenant-1'] },
      sunset: { deprecated: '2026-12-01', at: '2027-03-01', link: 'https://docs.example/keys' },
      preset: 'stripe',
      retention: '72h',
      tombstone: '30d',
      wait: 0,
      timeout: '1.5s',
      lease: '90s',
      fingerprint: {
        ignore: ['/trace_id'],
        dates: ['/a~1b/0'],
        headers: ['X-Version'],
        query: false,
      },
      outcomes: { '409': 'not_executed', '5xx': 'failed' },
      unknown: 'resend',
      durable: true,
      onStoreError: 'open',
      limits: { request: 25 * MIB, response: 100 * MIB, rate: 'PAYMENTS_LIMITER' },
      reauthorize: '/may-read/{id}',
      snapshot: { setCookie: true, omit: ['ETag'], seal: true, spill: MIB },
      mismatchStatus: 422,
      forwardKey: false,
      events: [
        { on: 'unknown', to: queue('OUTBOX'), retry: { attempts: 3, base: '1s', cap: '1m' } },
      ],
    } as const satisfies PolicyOptions
    const times = {
      retention: 259_200_000,
      tombstone: 2_592_000_000,
      timeout: 1_500,
      lease: 90_000,
    }
    const { retry, events, ...others } = valueOf(options)
    const keyFormat = { ...options.keyFormat, name: '/^order-/' }
    // What differs between two tries of one call of an MCP server never counts.
    const ignore = [
      '/trace_id',
      '/id',
      '/params/_meta',
      '/params/inputResponses',
      '/params/requestState',
    ]
    const fingerprint = { ...options.fingerprint, ignore }
    const { events: _, ...written } = options
    expect(others).toEqual({ ...written, ...times, keyFormat, fingerprint })
    const delivery = { attempts: 3, baseMs: 1_000, capMs: 60_000 }
    expect(events).toEqual([{ on: ['unknown'], to: queue('OUTBOX'), retry: delivery }])
    expect(retry.on).toEqual(['not_executed', 'unknown'])
  })

  it.each([
    { preset: 'default', expected: 409 },
    { preset: 'ietf', expected: 422 },
    { preset: 'stripe', expected: 400 },
  ] as const)('has $expected for a mismatch under $preset', ({ preset, expected }) => {
    expect(valueOf({ preset }).mismatchStatus).toBe(expected)
    expect(valueOf({ preset, mismatchStatus: 409 }).mismatchStatus).toBe(409)
  })

  it.each<{ name: string; options: PolicyOptions; field: RegExp }>([
    { name: 'a source that is none', options: { key: 'X-Key' as never }, field: /^key: / },
    { name: 'a method in small letters', options: { methods: ['post'] }, field: /^methods\.0: / },
    { name: 'no method', options: { methods: [] }, field: /^methods: / },
    { name: 'all methods', options: { methods: ['ALL'] }, field: /^methods\.0: / },
    { name: 'no source', options: { key: [] }, field: /^key: / },
    { name: 'a pointer without a slash', options: { key: body('id') }, field: /^key\.pointer: / },
    { name: 'an unknown format', options: { keyFormat: 'ulid' as never }, field: /^keyFormat: / },
    {
      name: 'a percentage over 100',
      options: { mode: 'observe', enforce: { percent: 101 } },
      field: /^enforce\.percent: /,
    },
    {
      name: 'who is enforced, where nothing is observed',
      options: { enforce: { percent: 5 } },
      field: /^enforce: .*'observe'/,
    },
    { name: 'no date', options: { sunset: { at: 'soon' } }, field: /^sunset\.at: / },
    { name: 'no date of refusal', options: { sunset: {} as never }, field: /^sunset\.at: / },
    {
      name: 'no date of deprecation',
      options: { sunset: { at: '2027-03-01', deprecated: '' } },
      field: /^sunset\.deprecated: /,
    },
    {
      name: 'no address',
      options: { sunset: { at: '2027-03-01', link: 'docs' } },
      field: /^sunset\.link: /,
    },
    { name: 'the pointer to everything', options: { key: body('') }, field: /^key\.pointer: / },
    { name: 'a header with a space', options: { key: header('X Key') }, field: /^key\.name: / },
    { name: 'business without values', options: { key: business() }, field: /^key\.pointers: / },
    {
      name: 'a wrong value of several',
      options: { key: business('/a', 'b') },
      field: /^key\.pointers\.1: /,
    },
    {
      name: 'a key within what is none',
      options: { key: header('X-Key', { scope: 'route' as never }) },
      field: /^key: .*scope/,
    },
    {
      name: 'an option of a source that is none',
      options: { key: body('/key', { scop: 'tenant' } as never) },
      field: /^key: .*scop/,
    },
    {
      name: 'a header without a name',
      options: { key: header(undefined as never) },
      field: /^key/,
    },
    { name: 'a body without a pointer', options: { key: body(7 as never) }, field: /^key/ },
    { name: 'a parameter without a name', options: { key: query('') }, field: /^key\.name: / },
    {
      name: 'a function that is none',
      options: { key: from('id' as never) },
      field: /^key: .*from\(function\)/,
    },
    { name: 'a member without a name', options: { key: mcp('') }, field: /^key\.meta: / },
    {
      name: 'a wrong source of several',
      options: { key: [header('X-Key'), body('id')] },
      field: /^key\.1\.pointer: /,
    },
    {
      name: 'a pattern that is a text',
      options: { keyFormat: { pattern: '^a' as never } },
      field: /^keyFormat: .*pattern/,
    },
    {
      name: 'a percentage below 0',
      options: { mode: 'observe', enforce: { percent: -1 } },
      field: /^enforce\.percent: /,
    },
    {
      name: 'one tenant for a list',
      options: { mode: 'observe', enforce: { tenants: 'a' as never } },
      field: /^enforce\.tenants: /,
    },
    {
      name: 'who is enforced, where nothing is protected',
      options: { mode: 'off', enforce: {} },
      field: /^enforce: .*'observe'/,
    },
    { name: 'an unknown preset', options: { preset: 'paypal' as never }, field: /^preset: / },
  ])('refuses $name', ({ options, field }) => {
    expect(faultsOf(options)).toEqual([expect.stringMatching(field)])
  })

  it.each([
    { minLength: 0, isTaken: false },
    { minLength: 1, isTaken: true },
    { minLength: 255, isTaken: true },
    { minLength: 256, isTaken: false },
  ])('lets a key have at least $minLength characters: $isTaken', ({ minLength, isTaken }) => {
    const fault = [expect.stringMatching(/^keyFormat(?:\.minLength)?: /)]
    expect(faultsOf({ keyFormat: { minLength } })).toEqual(isTaken ? [] : fault)
  })

  it.each([
    { percent: 0, isTaken: true },
    { percent: 100, isTaken: true },
    { percent: 100.5, isTaken: false },
  ])('enforces for $percent per cent: $isTaken', ({ percent, isTaken }) => {
    const fault = [expect.stringMatching(/^enforce\.percent: /)]
    expect(faultsOf({ mode: 'observe', enforce: { percent } })).toEqual(isTaken ? [] : fault)
  })

  it.each([
    { mode: 'observe', isTaken: true },
    { mode: 'enforce', isTaken: false },
    { mode: 'off', isTaken: false },
    { mode: undefined, isTaken: false },
  ] as const)('takes for whom to enforce in mode $mode: $isTaken', ({ mode, isTaken }) => {
    const fault = [expect.stringMatching(/^enforce: /)]
    const faults = faultsOf({ ...(mode && { mode }), enforce: { tenants: ['a'] } })
    expect(faults).toEqual(isTaken ? [] : fault)
  })

  it.each([
    { name: 'any', keyFormat: 'any', key: ' ', isTaken: true },
    { name: 'uuid', keyFormat: 'uuid', key: 'order-1', isTaken: false },
    { name: 'a minimum alone', keyFormat: { minLength: 8 }, key: '12345678', isTaken: true },
    { name: 'a pattern alone', keyFormat: { pattern: /^a$/ }, key: 'b', isTaken: false },
  ] as const)('reads $name into a pattern that takes "$key": $isTaken', (row) => {
    const { pattern } = valueOf({ keyFormat: row.keyFormat }).keyFormat
    expect(pattern.test(row.key)).toBe(row.isTaken)
  })

  it('takes one source for a list of one', () => {
    const sources = [
      header('X-Key'),
      body('/key'),
      query('key'),
      param('key'),
      from(() => 'key'),
      business('/a', '/b'),
      repeatability(),
      mcp(),
    ]
    for (const key of sources) expect(valueOf({ key }).key).toEqual([key])
    expect(valueOf({ key: sources }).key).toEqual(sources)
  })

  it('leaves out of the fingerprint what tries of an MCP call differ in, and of no other', () => {
    const ignore = ['/trace']
    const ofMcp = [
      ...ignore,
      '/id',
      '/params/_meta',
      '/params/inputResponses',
      '/params/requestState',
    ]
    const ignoredBy = (key: KeySource) => valueOf({ key, fingerprint: { ignore } }).fingerprint
    expect(ignoredBy(mcp())).toMatchObject({ ignore: ofMcp })
    expect(ignoredBy(body('/id'))).toMatchObject({ ignore })
    expect(ignore).toEqual(['/trace'])
  })

  it('reads the link of a sunset as a URL parser does', () => {
    const link = ' https://docs.example/\tkeys\n'
    const { sunset } = valueOf({ sunset: { at: '2027-03-01', link } })
    expect(sunset?.link).toBe('https://docs.example/keys')
  })

  it('takes a retry policy as it is written, times in milliseconds', () => {
    const retry = {
      attempts: 4,
      base: '100ms',
      cap: '1s',
      deadline: '20s',
      on: ['not_executed'],
      budget: { ratio: 0.5 },
      breaker: { cooldown: '30s' },
    } as const satisfies PolicyOptions['retry']
    expect(valueOf({ retry: { ...retry, on: ['not_executed'] } }).retry).toEqual({
      attempts: 4,
      baseMs: 100,
      capMs: 1_000,
      deadlineMs: 20_000,
      on: ['not_executed'],
      budget: { ratio: 0.5, floor: 10 },
      breaker: { failures: 5, cooldownMs: 30_000 },
    })
    expect(valueOf({ retry: { budget: false } }).retry.budget).toBe(false)
  })

  it('repeats the calls of a request for ten minutes at the most', () => {
    expect(valueOf({ retry: { deadline: '10m' } }).retry.deadlineMs).toBe(600_000)
    expect(valueOf({ retry: { deadline: '24h' } }).retry.deadlineMs).toBe(600_000)
  })

  it.each([
    { unknown: 'hold', expected: ['not_executed'] },
    { unknown: probe('/status/{id}'), expected: ['not_executed'] },
    { unknown: 'resend', expected: ['not_executed', 'unknown'] },
  ] as const)('tries $expected again under $unknown', ({ unknown, expected }) => {
    expect(valueOf({ unknown }).retry.on).toEqual(expected)
  })

  it.each([
    { name: 'hold', unknown: 'hold', isTaken: false },
    { name: 'probe', unknown: probe('/status'), isTaken: false },
    { name: 'resend', unknown: 'resend', isTaken: true },
  ] as const)('takes a retry of unknown under $name: $isTaken', ({ unknown, isTaken }) => {
    const faults = faultsOf({ unknown, retry: { on: ['unknown'] } })
    const fault = [expect.stringMatching(/^retry\.on: .*'resend'/)]
    expect(faults).toEqual(isTaken ? [] : fault)
  })

  it.each([
    { path: '/by-key/{key}', forwardKey: 'derived', isTaken: true },
    { path: '/by-key/{key}', forwardKey: 'client', isTaken: false },
    { path: '/by-key/{key}', forwardKey: false, isTaken: false },
    { path: '/by-id/{id}', forwardKey: 'client', isTaken: true },
    { path: '/of/{tenant}', forwardKey: false, isTaken: true },
  ] as const)(
    'takes a probe of $path with forwardKey $forwardKey: $isTaken',
    ({ path, forwardKey, isTaken }) => {
      const fault = [expect.stringMatching(/^unknown: .*forwardKey: 'derived'/)]
      expect(faultsOf({ unknown: probe(path), forwardKey })).toEqual(isTaken ? [] : fault)
    },
  )

  it('counts new operations where the policy says so, by its own binding or the usual one', () => {
    expect(valueOf({ limits: { rate: true } }).limits.rate).toBe(true)
    expect(valueOf({ limits: { rate: 'MINE' } }).limits.rate).toBe('MINE')
  })

  it('fills in what a group of fields leaves out', () => {
    const policy = valueOf({ limits: { request: 1 }, fingerprint: { query: false }, snapshot: {} })
    expect(policy.limits).toEqual({ request: 1, response: 8 * MIB, rate: false })
    expect(policy.fingerprint).toEqual({ ignore: [], dates: [], headers: [], query: false })
    expect(policy.snapshot).toEqual({ setCookie: false, omit: [], seal: false })
  })

  it.each([
    { field: 'retention', least: 1, most: YEAR_MS },
    { field: 'tombstone', least: 0, most: YEAR_MS },
    { field: 'wait', least: 0, most: 60_000 },
    { field: 'timeout', least: 1, most: 600_000 },
    { field: 'lease', least: 100, most: 600_000 },
  ])('lets $field be $least to $most ms', ({ field, least, most }) => {
    const fault = [expect.stringMatching(`^${field}: .*'10s'.*${least} to ${most} ms`)]
    expect(faultsOf({ [field]: least })).toEqual([])
    expect(faultsOf({ [field]: most })).toEqual([])
    expect(faultsOf({ [field]: least - 1 })).toEqual(fault)
    expect(faultsOf({ [field]: most + 1 })).toEqual(fault)
    expect(faultsOf({ [field]: 'soon' })).toEqual(fault)
  })

  it.each([
    { field: 'base', least: 0, most: 43_200_000 },
    { field: 'cap', least: 0, most: 43_200_000 },
    { field: 'deadline', least: 0, most: 86_400_000 },
  ])('lets retry.$field be $least to $most ms', ({ field, least, most }) => {
    const fault = [expect.stringMatching(`^retry.${field}: .*${least} to ${most} ms`)]
    expect(faultsOf({ retry: { [field]: least } })).toEqual([])
    expect(faultsOf({ retry: { [field]: most } })).toEqual([])
    expect(faultsOf({ retry: { [field]: least - 1 } })).toEqual(fault)
    expect(faultsOf({ retry: { [field]: most + 1 } })).toEqual(fault)
  })

  it.each([
    { field: 'attempts', least: 1, most: 101, toOptions: (n: number) => ({ attempts: n }) },
    {
      field: 'budget.ratio',
      least: 0,
      most: 1,
      toOptions: (n: number) => ({ budget: { ratio: n } }),
    },
    {
      field: 'budget.floor',
      least: 1,
      most: 10_000,
      toOptions: (n: number) => ({ budget: { floor: n } }),
    },
    {
      field: 'breaker.failures',
      least: 1,
      most: 1_000,
      toOptions: (n: number) => ({ breaker: { failures: n } }),
    },
    {
      field: 'breaker.cooldown',
      least: 1,
      most: 3_600_000,
      toOptions: (n: number) => ({ breaker: { cooldown: n } }),
    },
  ])('lets retry.$field be $least to $most', ({ least, most, toOptions }) => {
    expect(faultsOf({ retry: toOptions(least) })).toEqual([])
    expect(faultsOf({ retry: toOptions(most) })).toEqual([])
    expect(faultsOf({ retry: toOptions(least - 1) })).toHaveLength(1)
    expect(faultsOf({ retry: toOptions(most + 1) })).toHaveLength(1)
  })

  it.each([
    { name: 'an empty name', options: { operation: '' }, at: 'operation' },
    { name: 'a name of 129 letters', options: { operation: 'x'.repeat(129) }, at: 'operation' },
    { name: 'a word for a yes or no', options: { required: 'yes' }, at: 'required' },
    { name: 'an unknown mode', options: { mode: 'on' }, at: 'mode' },
    { name: 'an unknown policy', options: { unknown: 'retry' }, at: 'unknown' },
    { name: 'a probe without a path', options: { unknown: { kind: 'probe' } }, at: 'unknown' },
    {
      name: 'a probe of another host',
      options: { unknown: probe('https://a.test/') },
      at: 'unknown.path',
    },
    { name: 'a retry of a result', options: { retry: { on: ['failed'] } }, at: 'retry.on.0' },
    {
      name: 'a budget that is only switched on',
      options: { retry: { budget: true } },
      at: 'retry.budget',
    },
    { name: 'half a yes', options: { durable: 'yes' }, at: 'durable' },
    { name: 'an unknown way to fail', options: { onStoreError: 'half' }, at: 'onStoreError' },
    { name: 'a binding without a name', options: { limits: { rate: '' } }, at: 'limits.rate' },
    {
      name: 'a pointer without a slash',
      options: { fingerprint: { ignore: ['a'] } },
      at: 'fingerprint.ignore.0',
    },
    {
      name: 'a pointer with a lone tilde',
      options: { fingerprint: { dates: ['/a', '/~2'] } },
      at: 'fingerprint.dates.1',
    },
    {
      name: 'the pointer to everything',
      options: { fingerprint: { ignore: [''] } },
      at: 'fingerprint.ignore.0',
    },
    {
      name: 'a pointer in JSONPath',
      options: { fingerprint: { ignore: ['/a', '/items[*]'] } },
      at: 'fingerprint.ignore.1',
    },
    {
      name: 'a date beneath what is left out',
      options: { fingerprint: { ignore: ['/a'], dates: ['/a/b'] } },
      at: 'fingerprint.dates.0',
    },
    { name: 'a yes', options: { fingerprint: true }, at: 'fingerprint' },
    { name: 'a list', options: { fingerprint: ['/a'] }, at: 'fingerprint' },
    { name: 'an unknown rule', options: { fingerprint: { ignored: [] } }, at: 'fingerprint' },
    {
      name: 'a query that is a list',
      options: { fingerprint: { query: ['utm_source'] } },
      at: 'fingerprint.query',
    },
    { name: 'a key in every item', options: { key: body('/items/*/id') }, at: 'key.pointer' },
    {
      name: 'a business key in every member',
      options: { key: business('/a', '/*') },
      at: 'key.pointers.1',
    },
    {
      name: 'a name with a space',
      options: { fingerprint: { headers: ['X A'] } },
      at: 'fingerprint.headers.0',
    },
    { name: 'half a byte', options: { limits: { request: 0.5 } }, at: 'limits.request' },
    { name: 'less than nothing', options: { limits: { response: -1 } }, at: 'limits.response' },
    {
      name: 'a request of more than 25 MiB',
      options: { limits: { request: 25 * MIB + 1 } },
      at: 'limits.request',
    },
    {
      name: 'a response of more than 100 MiB',
      options: { limits: { response: 100 * MIB + 1 } },
      at: 'limits.response',
    },
    {
      name: 'to spill less than 1 MiB',
      options: { snapshot: { spill: MIB - 1 } },
      at: 'snapshot.spill',
    },
    {
      name: 'to spill more than 100 MiB',
      options: { snapshot: { spill: 100 * MIB + 1 } },
      at: 'snapshot.spill',
    },
    { name: 'half a seal', options: { snapshot: { seal: 'yes' } }, at: 'snapshot.seal' },
    {
      name: 'to reauthorize at another host',
      options: { reauthorize: 'https://a.test/' },
      at: 'reauthorize',
    },
    {
      name: 'a status that is no HTTP',
      options: { outcomes: { '600': 'failed' } },
      at: 'outcomes.600',
    },
    { name: 'a range of tens', options: { outcomes: { '40x': 'failed' } }, at: 'outcomes.40x' },
    { name: 'an unknown outcome', options: { outcomes: { '500': 'maybe' } }, at: 'outcomes.500' },
    {
      name: 'outcomes by value behind a status',
      options: { outcomes: { '500': { a: 'failed' } } },
      at: 'outcomes.500',
    },
    {
      name: 'an outcome behind a pointer',
      options: { outcomes: { '/status': 'failed' } },
      at: 'outcomes./status',
    },
    {
      name: 'an unknown outcome of a value',
      options: { outcomes: { '/status': { pending: 'later' } } },
      at: 'outcomes./status',
    },
    {
      name: 'a pointer that is none',
      options: { outcomes: { '/a~2': { a: 'failed' } } },
      at: 'outcomes./a~2',
    },
    {
      name: 'a wrong rule in a list',
      options: { outcomes: [{ '500': 'failed' }, { '/status': 'failed' }] },
      at: 'outcomes.1./status',
    },
    { name: 'an outcome alone', options: { outcomes: 'failed' }, at: 'outcomes' },
    { name: 'a map of outcomes', options: { outcomes: new Map() }, at: 'outcomes' },
    { name: 'a list in a list', options: { outcomes: [[{ '500': 'failed' }]] }, at: 'outcomes.0' },
    { name: 'an empty header name', options: { snapshot: { omit: [''] } }, at: 'snapshot.omit.0' },
    {
      name: 'a status that means another thing',
      options: { mismatchStatus: 404 },
      at: 'mismatchStatus',
    },
    { name: 'an unknown key', options: { forwardKey: true }, at: 'forwardKey' },
  ])('refuses $name, and says where', ({ options, at }) => {
    expect(faultsOf(options)).toEqual([expect.stringMatching(`^${at}: .`)])
  })

  it('names every wrong field at once', () => {
    const faults = faultsOf({
      retention: 'long',
      unknown: 'retry',
      limits: { request: '1 MiB', response: -1 },
      fingerprint: { ignore: ['a', '/b', 'c'] },
    })
    const fields = faults.map((fault) => fault.slice(0, fault.indexOf(':')))
    expect(new Set(fields)).toEqual(
      new Set([
        'fingerprint.ignore.0',
        'fingerprint.ignore.2',
        'limits.request',
        'limits.response',
        'retention',
        'unknown',
      ]),
    )
  })

  it('names what is wrong across fields along with the fields that are', () => {
    const faults = faultsOf({
      retention: 'long',
      unknown: probe('/by-key/{key}'),
      durable: true,
      forwardKey: 'client',
      retry: { attempts: 0, on: ['unknown'] },
    })
    const fields = faults.map((fault) => fault.slice(0, fault.indexOf(':')))
    expect(new Set(fields)).toEqual(
      new Set(['retention', 'retry.attempts', 'retry.on', 'unknown', 'durable']),
    )
  })

  it.each([
    { forwardKey: 'derived', isTaken: true },
    { forwardKey: false, isTaken: true },
    { forwardKey: 'client', isTaken: false },
  ])('stores a request whose key goes on as $forwardKey: $isTaken', ({ forwardKey, isTaken }) => {
    const fault = [expect.stringMatching(/^durable: .*not stored/)]
    expect(faultsOf({ durable: true, forwardKey })).toEqual(isTaken ? [] : fault)
    expect(faultsOf({ durable: false, forwardKey })).toEqual([])
  })

  it.each([
    { path: '/by/{key}/{tenant}/{id}', isTaken: true },
    { path: '/', isTaken: true },
    { path: '/by/{Key}', isTaken: false },
    { path: '/by/{name}', isTaken: false },
    { path: '/by/{}', isTaken: false },
    { path: '/by/{key', isTaken: false },
    { path: '/by/key}', isTaken: false },
  ])('asks at $path: $isTaken', ({ path, isTaken }) => {
    const fault = (at: string) => [expect.stringMatching(`^${at}: .*\\{key\\}`)]
    expect(faultsOf({ reauthorize: path })).toEqual(isTaken ? [] : fault('reauthorize'))
    expect(faultsOf({ unknown: probe(path) })).toEqual(isTaken ? [] : fault('unknown(?:.path)?'))
  })

  it.each([
    { at: 'limits.rate', options: { limits: { rate: 7 } }, wants: 'true, false or the name' },
    { at: 'retry.budget', options: { retry: { budget: true } }, wants: 'false or .*ratio' },
    { at: 'retry.breaker', options: { retry: { breaker: true } }, wants: 'false or .*failures' },
    { at: 'unknown', options: { unknown: 'retry' }, wants: "'hold', 'resend' or probe" },
  ])('says what $at may be', ({ at, options, wants }) => {
    expect(faultsOf(options)).toEqual([expect.stringMatching(`^${at}: must be ${wants}`)])
  })

  it('reports an unknown policy that is null', () => {
    expect(faultsOf({ unknown: null })).toEqual([expect.stringMatching('^unknown: .')])
  })

  it.each([
    { options: { unknown: { kind: 'probe', path: 7 } }, at: 'unknown' },
    { options: { retry: null }, at: 'retry' },
    { options: { retry: { on: 'unknown' } }, at: 'retry.on' },
  ])('reports $options and does not fail over it', ({ options, at }) => {
    expect(faultsOf(options)).toEqual([expect.stringMatching(`^${at}(?:.path)?: .`)])
  })

  it.each([
    { where: 'at the top', options: { retantion: '1h' }, at: 'policy', name: 'retantion' },
    { where: 'in a group', options: { limits: { body: 1 } }, at: 'limits', name: 'body' },
    {
      where: 'in the snapshot',
      options: { snapshot: { encrypt: true } },
      at: 'snapshot',
      name: 'encrypt',
    },
  ])('refuses a field that does not exist $where, by name', ({ options, at, name }) => {
    expect(faultsOf(options)).toEqual([expect.stringMatching(`^${at}: .*"${name}"`)])
  })

  it.each([{ options: null }, { options: 'hold' }, { options: [] }])(
    'refuses $options for a policy',
    ({ options }) => {
      expect(faultsOf(options)).toEqual([expect.stringMatching('^policy: ')])
    },
  )
})

describe('probe', () => {
  it.each([
    { name: 'as long as a call may take', unknown: probe('/by-key/{key}'), expected: 7_000 },
    { name: 'what it says', unknown: probe('/by-key/{key}', { grace: '90s' }), expected: 90_000 },
    { name: 'none', unknown: probe('/by-key/{key}', { grace: 0 }), expected: 0 },
  ])(
    'names the path of the status resource, and has for a grace $name',
    ({ unknown, expected }) => {
      const path = '/by-key/{key}'
      const policy = valueOf({ unknown, timeout: '7s' })
      expect(policy.unknown).toEqual({ kind: 'probe', path, grace: expected })
    },
  )

  it.each([
    { name: 'no duration', options: { grace: 'soon' as '1s' } },
    { name: 'longer than a day', options: { grace: '25h' as const } },
    { name: 'misspelt', options: { graze: '1s' } as object },
  ])('takes no grace that is $name', ({ options }) => {
    expect(faultsOf({ unknown: probe('/by-key/{key}', options) })).toEqual([
      expect.stringMatching(/^unknown.*/),
    ])
  })
})
