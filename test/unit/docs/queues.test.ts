import { readFileSync } from 'node:fs'
import path from 'node:path'

import { describe, expect, it } from 'vitest'

import {
  decideFate,
  type DeliveryFacts,
  type MessageFacts,
} from '../../../src/core/message-fate.ts'
import { problem } from '../../../src/core/response/problem.ts'

const page = readFileSync(path.resolve(import.meta.dirname, '../../../docs/queues.md'), 'utf8')
const section = (name: string) => (page.split(`\n## ${name}\n`)[1] ?? '').split(/^## /m)[0] ?? ''

const rows = Array.from(
  section('What becomes of a message').matchAll(/^\| (.+?) +\| (.+?) +\| (.+?) +\|$/gm),
  ([, what = '', first = '', later = '']) => ({ what, first, later }),
).slice(2)

const WORDS: Readonly<Record<string, string>> = {
  ack: 'acknowledged',
  again: 'asked again',
  retry: 'tried again',
  'dead-letter': 'dead letter',
}

type Facts = Partial<MessageFacts> & Partial<Pick<DeliveryFacts, 'isHeld' | 'isLast'>>

const OWN = { queue: 'orders', id: 'own' }
const settled = { originCalls: 1, settle: 'taken' } as const
const open = { originCalls: 1, settle: null } as const
const rejected = (slug: Parameters<typeof problem>[0]): Facts => ({
  status: 'rejected',
  problem: problem(slug, 'x'),
})

/** What is known of a message in each row, in every form that it may have. */
const KNOWN: Readonly<Record<string, readonly Facts[]>> = {
  'done, its result is stored': [{ status: 'executed', outcome: 'succeeded', work: settled }],
  'refused (`failed`), the refusal is stored': [
    { status: 'executed', outcome: 'failed', work: settled },
    // In its tombstone.
    { status: 'expired', outcome: 'failed' },
  ],
  'done or refused, and the result is not stored yet': [
    { status: 'executed', outcome: 'succeeded', work: open },
    { status: 'executed', outcome: 'failed', work: open },
  ],
  'done before': [{ status: 'replayed', outcome: 'succeeded' }],
  'refused before': [
    { status: 'replayed', outcome: 'failed' },
    { status: 'too-large', outcome: 'failed' },
    { status: 'not-kept', outcome: 'failed' },
    { status: 'sealed', outcome: 'failed' },
  ],
  'done before, its result is gone, not kept or cannot be opened': [
    { status: 'expired', outcome: 'succeeded' },
    { status: 'too-large', outcome: 'succeeded' },
    { status: 'not-kept', outcome: 'succeeded' },
    { status: 'sealed', outcome: 'succeeded' },
  ],
  'another does it, and has its result': [
    { status: 'too-large', outcome: null },
    { status: 'not-kept', outcome: null },
    { status: 'joined', outcome: 'succeeded' },
    { status: 'joined', outcome: 'failed' },
  ],
  'another did it in vain': [
    { status: 'joined', outcome: 'not_executed' },
    { status: 'joined', outcome: 'unknown' },
  ],
  'another still runs': [{ status: 'in-progress' }],
  'another message does it, and this is the last delivery': [
    {
      status: 'in-progress',
      isLast: true,
      carrier: { queue: 'orders', id: 'another', isNearEnd: false },
    },
  ],
  'nothing was done (`not_executed`)': [{ status: 'not-executed', outcome: 'not_executed' }],
  'outcome unknown, under `hold`': [
    { status: 'unknown', outcome: 'unknown' },
    // In its tombstone, where nobody finds it out any more.
    { status: 'expired', outcome: 'unknown' },
    { status: 'expired', outcome: null },
  ],
  'outcome unknown, under `resend` or a probe': [
    { status: 'unknown', outcome: 'unknown', isHeld: false },
  ],
  'the key names something else': [
    { status: 'mismatch', problem: problem('key-reused', 'x') },
    { status: 'expired', outcome: 'succeeded', isOther: true },
  ],
  'no key, a payload that cannot be compared or is too large': [
    rejected('key-missing'),
    rejected('payload-invalid'),
    rejected('payload-too-large'),
  ],
  'the store fails, or its guard is lost': [{ status: 'store-fault' }],
  'too many operations, circuit open, something is not configured': [
    rejected('rate-limited'),
    rejected('circuit-open'),
    rejected('gateway-misconfigured'),
  ],
}

function fateOf({ isHeld = true, isLast = false, ...facts }: Facts, isFirst: boolean) {
  const nothing = { outcome: null, work: null, problem: null }
  const known = { ...nothing, fence: 1, ...facts }
  const { kind } = decideFate(
    { status: 'executed', ...known },
    { message: OWN, isFirst, isHeld, isLast },
  )
  return WORDS[kind]
}

describe('docs/queues.md', () => {
  it('has a row for everything that may be known of a message', () => {
    expect(rows.map(({ what }) => what)).toEqual(Object.keys(KNOWN))
  })

  it.each(rows)('says what becomes of a message: $what', ({ what, first, later }) => {
    for (const facts of KNOWN[what] ?? []) {
      expect([fateOf(facts, true), fateOf(facts, false)]).toEqual([first, later])
    }
  })
})
