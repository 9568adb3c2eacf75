import { describe, expect, it } from 'vitest'

import { parsePolicy, type PolicyOptions } from '../../../src/config/policy.ts'
import { queue, webhook } from '../../../src/core/event/destination.ts'

type EventOptions = NonNullable<PolicyOptions['events']>

const untyped = (events: unknown): PolicyOptions => ({ events: events as EventOptions })

function eventsOf(events: EventOptions) {
  const parsed = parsePolicy({ events })
  if (!parsed.ok) throw new Error(parsed.error.join('\n'))
  return parsed.value.events
}

function faultsOf(events: unknown): readonly string[] {
  const parsed = parsePolicy(untyped(events))
  return parsed.ok ? [] : parsed.error
}

const RULE = { on: 'succeeded', to: queue('OUTBOX') } as const
const ruleWith = (retry: unknown) => [{ ...RULE, retry }]
const HOUR_MS = 3_600_000

describe('events', () => {
  it('are none where the policy does not say so', () => {
    expect(eventsOf([])).toEqual([])
    expect(parsePolicy({})).toMatchObject({ ok: true, value: { events: [] } })
  })

  it('are tried twelve times, from a second up to ten minutes apart, unless the rule says otherwise', () => {
    expect(eventsOf([RULE])).toEqual([
      {
        on: ['succeeded'],
        to: { to: 'queue', binding: 'OUTBOX' },
        retry: { attempts: 12, baseMs: 1_000, capMs: 600_000 },
      },
    ])
  })

  it('take one state or a list, a queue or a URL, and what is said of the retry', () => {
    const to = webhook('https://shop.example/hooks?token=1')
    expect(
      eventsOf([
        { on: ['succeeded', 'failed', 'unknown'], to, retry: { attempts: 3 } },
        { on: 'unknown', to: webhook('http://127.0.0.1:8789'), retry: { base: 0, cap: '1m' } },
      ]),
    ).toEqual([
      {
        on: ['succeeded', 'failed', 'unknown'],
        to,
        retry: { attempts: 3, baseMs: 1_000, capMs: 600_000 },
      },
      {
        on: ['unknown'],
        to: { to: 'webhook', url: 'http://127.0.0.1:8789' },
        retry: { attempts: 12, baseMs: 0, capMs: 60_000 },
      },
    ])
  })

  it.each([
    { what: 'ten rules', events: Array.from({ length: 10 }, () => RULE) },
    { what: '1 attempt', events: ruleWith({ attempts: 1 }) },
    { what: '100 attempts', events: ruleWith({ attempts: 100 }) },
    { what: 'a base of an hour', events: ruleWith({ base: HOUR_MS }) },
    { what: 'a cap of a day', events: ruleWith({ cap: 24 * HOUR_MS }) },
  ])('may be $what', ({ events }) => {
    expect(faultsOf(events)).toEqual([])
  })

  it.each([
    { what: 'eleven rules', events: Array.from({ length: 11 }, () => RULE), field: /^events: / },
    { what: 'no list', events: RULE, field: /^events: / },
    { what: 'a rule without a state', events: [{ to: RULE.to }], field: /^events\.0\.on: / },
    { what: 'an empty list of states', events: [{ ...RULE, on: [] }], field: /^events\.0\.on/ },
    { what: 'a state that is none', events: [{ ...RULE, on: 'expired' }], field: /^events\.0\.on/ },
    { what: 'a rule without a destination', events: [{ on: 'failed' }], field: /^events\.0\.to: / },
    {
      what: 'a bare URL',
      events: [{ ...RULE, to: 'https://a.example' }],
      field: /^events\.0\.to: /,
    },
    {
      what: 'a queue without a name',
      events: [{ ...RULE, to: queue('') }],
      field: /^events\.0\.to/,
    },
    {
      what: 'a relative URL',
      events: [{ ...RULE, to: webhook('/hooks') }],
      field: /^events\.0\.to/,
    },
    {
      what: 'another scheme',
      events: [{ ...RULE, to: webhook('ftp://a') }],
      field: /^events\.0\.to/,
    },
    {
      what: 'a webhook with a token in clear',
      events: [{ ...RULE, to: webhook('https://a.example', { headers: { 'X-Token': 'hush' } }) }],
      field: /^events\.0\.to: headers: X-Token would be stored in clear.* secret\('NAME'\)$/,
    },
    { what: 'a field too many', events: [{ ...RULE, when: 1 }], field: /^events\.0: / },
    {
      what: '0 attempts',
      events: ruleWith({ attempts: 0 }),
      field: /^events\.0\.retry\.attempts: /,
    },
    { what: '101 attempts', events: ruleWith({ attempts: 101 }), field: /retry\.attempts: / },
    { what: 'half an attempt', events: ruleWith({ attempts: 1.5 }), field: /retry\.attempts: / },
    {
      what: 'a base over an hour',
      events: ruleWith({ base: HOUR_MS + 1 }),
      field: /retry\.base: /,
    },
    { what: 'a cap over a day', events: ruleWith({ cap: '25h' }), field: /retry\.cap: / },
    { what: 'a delay that is none', events: ruleWith({ base: 'soon' }), field: /retry\.base: / },
    { what: 'a deadline', events: ruleWith({ deadline: '1h' }), field: /^events\.0\.retry: / },
  ])('may not be $what, and the fault says where', ({ events, field }) => {
    expect(faultsOf(events)).toEqual([expect.stringMatching(field)])
  })

  it('names every rule that is wrong at once', () => {
    expect(faultsOf([RULE, { ...RULE, on: 'x' }, { ...RULE, to: 'y' }])).toHaveLength(2)
  })
})
