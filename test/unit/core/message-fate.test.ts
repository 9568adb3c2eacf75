import { describe, expect, it } from 'vitest'

import { decideFate, type MessageFacts } from '../../../src/core/message-fate.ts'
import type { Work } from '../../../src/core/operation/answer.ts'
import { problem } from '../../../src/core/response/problem.ts'

const work = (settle: Work['settle']): Work => ({ originCalls: 1, settle })

const factsOf = (over: Partial<MessageFacts>): MessageFacts => ({
  status: 'executed',
  outcome: null,
  work: null,
  problem: null,
  fence: 1,
  ...over,
})

const OWN = { queue: 'orders', id: 'm-1' }
const OTHER = { queue: 'orders', id: 'm-2', isNearEnd: false }

const FIRST_HELD = {
  message: OWN,
  isFirst: true,
  isLast: false,
  isHeld: true,
}
const ACK = { kind: 'ack' }
const retry = (reason: string) => ({ kind: 'retry', reason })
const dead = (reason: string) => ({ kind: 'dead-letter', reason })
const decided = (decision: string, reason = decision) => ({ ...dead(reason), decision })

interface Case {
  readonly when: string
  readonly facts: Partial<MessageFacts>
  readonly given?: Partial<typeof FIRST_HELD>
  readonly expected: object
}

const rejectedFor = (...args: Parameters<typeof problem>): Partial<MessageFacts> => ({
  status: 'rejected',
  problem: problem(...args),
})

const cases: readonly Case[] = [
  {
    when: 'it was done and its result is stored',
    facts: { outcome: 'succeeded', work: work('taken') },
    expected: ACK,
  },
  {
    when: 'it was done after its lease, and nobody had taken over',
    facts: { outcome: 'succeeded', work: work('late') },
    expected: ACK,
  },
  {
    when: 'it was done, but somebody else had taken over',
    facts: { outcome: 'succeeded', work: work('refused') },
    expected: { kind: 'again', isOwn: true },
  },
  {
    when: 'its result still comes',
    facts: { outcome: 'succeeded', work: work(null) },
    expected: { kind: 'again', isOwn: true },
  },
  {
    when: 'nothing is known of its work',
    facts: { outcome: 'succeeded' },
    expected: { kind: 'again', isOwn: true },
  },
  {
    when: 'it was refused, and the refusal is stored',
    facts: { outcome: 'failed', work: work('taken') },
    expected: decided('failed'),
  },
  {
    when: 'it was refused late',
    facts: { outcome: 'failed', work: work('late') },
    expected: decided('failed'),
  },
  {
    when: 'the refusal still comes',
    facts: { outcome: 'failed', work: work(null) },
    expected: { kind: 'again', isOwn: true },
  },
  {
    when: 'another is doing it and has its result',
    facts: { status: 'joined', outcome: 'succeeded' },
    expected: { kind: 'again', isOwn: false },
  },
  {
    when: 'another is doing it and was refused',
    facts: { status: 'joined', outcome: 'failed' },
    expected: { kind: 'again', isOwn: false },
  },
  {
    when: 'another has found that nothing was done',
    facts: { status: 'joined', outcome: 'not_executed' },
    expected: retry('joined'),
  },
  {
    when: 'another has lost its answer',
    facts: { status: 'joined', outcome: 'unknown' },
    expected: retry('joined'),
  },
  {
    when: 'its outcome is unknown and held',
    facts: { status: 'unknown', outcome: 'unknown' },
    expected: decided('outcome-unknown'),
  },
  {
    when: 'its outcome is unknown and can be resolved',
    facts: { status: 'unknown', outcome: 'unknown' },
    given: { isHeld: false },
    expected: retry('outcome-unknown'),
  },
  {
    when: 'its key is that of another',
    facts: { status: 'mismatch', problem: problem('key-reused', 'They differ at /a.') },
    expected: decided('mismatch', 'They differ at /a.'),
  },
  {
    when: 'its key is that of another, and nobody says how',
    facts: { status: 'mismatch' },
    expected: decided('mismatch', 'key-reused'),
  },
  {
    when: 'it was done before',
    facts: { status: 'replayed', outcome: 'succeeded' },
    expected: ACK,
  },
  {
    when: 'it was done by an earlier delivery',
    facts: { status: 'replayed', outcome: 'succeeded' },
    given: { isFirst: false },
    expected: ACK,
  },
  {
    when: 'another was refused before',
    facts: { status: 'replayed', outcome: 'failed' },
    expected: ACK,
  },
  {
    when: 'an earlier delivery may have been refused',
    facts: { status: 'replayed', outcome: 'failed' },
    given: { isFirst: false },
    expected: decided('failed'),
  },
  {
    when: 'it was done long ago',
    facts: { status: 'expired', outcome: 'succeeded' },
    expected: ACK,
  },
  {
    when: 'it was refused long ago',
    facts: { status: 'expired', outcome: 'failed' },
    expected: decided('failed'),
  },
  {
    when: 'nobody has found out what became of it',
    facts: { status: 'expired', outcome: 'unknown' },
    expected: decided('outcome-unknown'),
  },
  {
    when: 'nobody knows any more how it ended',
    facts: { status: 'expired', outcome: null },
    expected: decided('outcome-unknown'),
  },
  {
    when: 'nothing is known of it any more',
    facts: { status: 'expired', outcome: null, fence: 0 },
    expected: decided('outcome-unknown', 'forgotten'),
  },
  {
    when: 'its key was that of another, which was done',
    facts: { status: 'expired', outcome: 'succeeded', isOther: true },
    expected: decided('mismatch', 'key-reused'),
  },
  ...(['too-large', 'not-kept', 'sealed'] as const).flatMap((status) => [
    {
      when: `it was done, and its result cannot be read (${status})`,
      facts: { status, outcome: 'succeeded' } as const,
      given: { isFirst: false },
      expected: ACK,
    },
    {
      when: `another was refused, and the refusal cannot be read (${status})`,
      facts: { status, outcome: 'failed' } as const,
      expected: ACK,
    },
    {
      when: `it was refused, and the refusal cannot be read (${status})`,
      facts: { status, outcome: 'failed' } as const,
      given: { isFirst: false },
      expected: decided('failed'),
    },
  ]),
  {
    when: 'another does it, and its result is not kept',
    facts: { status: 'too-large', outcome: null },
    expected: { kind: 'again', isOwn: false },
  },
  {
    when: 'nothing was done',
    facts: { status: 'not-executed', outcome: 'not_executed' },
    expected: retry('not-executed'),
  },
  { when: 'another still runs', facts: { status: 'in-progress' }, expected: retry('in-progress') },
  {
    when: 'another message of its queue has it, and its queue may deliver it again',
    facts: { status: 'in-progress', carrier: OTHER },
    expected: retry('in-progress'),
  },
  {
    when: 'another message of its queue has it, and its queue may not deliver it again',
    facts: { status: 'in-progress', carrier: OTHER },
    given: { isLast: true },
    expected: ACK,
  },
  {
    when: 'a request has it, which nobody may repeat, and its queue may not deliver it again',
    facts: { status: 'in-progress' },
    given: { isLast: true },
    expected: retry('in-progress'),
  },
  {
    when: 'an earlier delivery of itself has it, and its queue may not deliver it again',
    facts: { status: 'in-progress', carrier: { ...OWN, isNearEnd: false } },
    given: { isLast: true },
    expected: retry('in-progress'),
  },
  {
    when: 'another message has it that may not come back either',
    facts: { status: 'in-progress', carrier: { ...OTHER, isNearEnd: true } },
    given: { isLast: true },
    expected: retry('in-progress'),
  },
  {
    when: 'the message has it that it was before it was moved to this queue',
    facts: { status: 'in-progress', carrier: { ...OTHER, queue: 'orders-lost' } },
    given: { isLast: true },
    expected: retry('in-progress'),
  },
  { when: 'the store fails', facts: { status: 'store-fault' }, expected: retry('store-fault') },
  { when: 'it was accepted only', facts: { status: 'accepted' }, expected: retry('accepted') },
  {
    when: 'it was let through',
    facts: { status: 'unprotected' },
    expected: retry('unprotected'),
  },
  {
    when: 'it is refused for now',
    facts: rejectedFor('rate-limited', 'Later.'),
    expected: retry('rate-limited'),
  },
  {
    when: 'the circuit is open',
    facts: rejectedFor('circuit-open', 'Later.'),
    expected: retry('circuit-open'),
  },
  {
    when: 'the deployment lacks something',
    facts: rejectedFor('gateway-misconfigured', 'See the log.'),
    expected: retry('gateway-misconfigured'),
  },
  {
    when: 'it is refused by the origin',
    facts: { status: 'rejected' },
    expected: retry('rejected'),
  },
  {
    when: 'it has no key',
    facts: rejectedFor('key-missing', 'Send the header Hapax-Message-Key-1.'),
    expected: dead('key-missing: the message has no key where its policy looks for one'),
  },
  {
    when: 'its payload cannot be compared',
    facts: rejectedFor('payload-invalid', 'Twice /a.'),
    expected: dead('payload-invalid: Twice /a.'),
  },
  {
    when: 'it is too large',
    facts: rejectedFor('payload-too-large', 'Too much.'),
    expected: dead('payload-too-large: Too much.'),
  },
]

describe('decideFate', () => {
  it.each(cases)('answers $expected.kind when $when', ({ facts, given, expected }) => {
    expect(decideFate(factsOf(facts), { ...FIRST_HELD, ...given })).toEqual(expected)
  })

  it('never acknowledges what may not be done', () => {
    const open: MessageFacts['status'][] = [
      'unknown',
      'not-executed',
      'in-progress',
      'store-fault',
      'accepted',
      'joined',
    ]
    const facts = open.flatMap((status) =>
      ([null, 'unknown', 'not_executed'] as const).map((outcome) => factsOf({ status, outcome })),
    )
    const given = [true, false].flatMap((isFirst) =>
      [true, false].flatMap((isHeld) =>
        [true, false].map((isLast) => ({ message: OWN, isFirst, isHeld, isLast })),
      ),
    )
    const kinds = facts.flatMap((known) => given.map((how) => decideFate(known, how).kind))
    expect(kinds).toHaveLength(144)
    expect(kinds).not.toContain('ack')
  })
})
