import { describe, expect, it } from 'vitest'

import { idempotentTool, type ToolCall } from '../../../src/agents.ts'
import { createError } from '../../../src/core/hapax-error.ts'
import { NotExecuted } from '../../../src/core/outcome/not-executed.ts'
import { answer, lost, problem } from '../client/played-server.ts'
import { made, payBy, type Payment, playApi, repeated } from './played-tool.ts'

const status = (word: string, headers: Readonly<Record<string, string>> = {}) => ({
  'Idempotency-Status': word,
  ...headers,
})

const problemOf = (code: string, retry: string, members: object = {}, seconds?: string) =>
  problem(
    409,
    { detail: `The detail of ${code}.`, retry, correlationId: 'c-1', ...members },
    { 'Hapax-Error': code, ...(seconds !== undefined && { 'Retry-After': seconds }) },
  )

/** What the model is told about one call, with the result or as an error. */
async function noteOf(play: Response | Error, again?: string): Promise<string> {
  const api = playApi(play)
  const pay = idempotentTool('pay', (input: Payment, call) => payBy(call, input), {
    ...api.options,
    ...(again !== undefined && { again }),
  })
  return pay.withNote({ order: 'o17' }).then(
    ({ note }) => note,
    (error: unknown) => (error as Error).message,
  )
}

const SAME = /[Cc]all the same tool with exactly the same arguments/
const NO_DETOUR = /Do not try it with other arguments or with another tool/

describe('the note for the model', () => {
  it.each([
    { when: 'it was executed', play: made(), says: [/^About this call: It was executed now\./] },
    {
      when: 'the earlier result was returned',
      play: repeated(),
      says: [
        /was executed 2 minutes ago\. Nothing was executed again\./,
        /do not call it again\.$/,
      ],
    },
    {
      when: 'an API returned an earlier result without its age',
      play: answer(200, { 'Idempotent-Replayed': 'true' }),
      says: [/the same call was executed before\./],
    },
    {
      when: 'the call joined one that was running',
      play: answer(201, status('joined')),
      says: [/already running, and this is its result\. Nothing was executed again/],
    },
    {
      when: 'the API has rejected it for good',
      play: answer(402, status('executed')),
      says: [/status 402\. This answer is final/, /Correct the arguments/],
    },
    {
      when: 'the API had rejected it for good before',
      play: answer(402, status('replayed', { 'Idempotent-Replayed': 'true' })),
      says: [/earlier answer, with status 402\. Nothing was executed again\. This answer is final/],
    },
    {
      when: 'nothing was executed',
      play: answer(503, status('not-executed', { 'Retry-After': '90' })),
      says: [/Nothing was executed by this call\. Wait 90 seconds, then call the same tool/],
    },
    {
      when: 'it was accepted',
      play: answer(202, status('accepted', { 'Retry-After': '1' })),
      says: [/still running, and was not started again\. Wait 1 second, then/],
    },
    {
      when: 'the API answered with an error that says nothing',
      play: answer(500, status('unknown')),
      says: [/status 500, so it is not known/, SAME, /not executed twice/, NO_DETOUR],
    },
    { when: 'a proxy answered', play: answer(502), says: [/status 502, so it is not known/, SAME] },
    { when: 'no answer arrived', play: lost(), says: [/^fetch failed/, /not known/, SAME] },
    {
      when: 'it is still running',
      play: problemOf('in-progress', 'wait', {}, '7200'),
      says: [/still running/, /Wait 2 hours, then/, SAME],
    },
    {
      when: 'its outcome is held',
      play: problemOf('outcome-unknown', 'never'),
      says: [/calling again does not help now/, NO_DETOUR, /open, with the correlation id c-1\.$/],
    },
    {
      when: 'its outcome is being found out',
      play: problemOf('outcome-unknown', 'wait', {}, '5'),
      says: [/Wait 5 seconds, then/, SAME, NO_DETOUR],
    },
    {
      when: 'its outcome is being found out, as Stripe would write it',
      play: Response.json(
        { error: { type: 'api_error', message: 'Not known yet.' } },
        {
          status: 409,
          headers: {
            'Hapax-Error': 'outcome-unknown',
            'X-Should-Retry': 'true',
            'Retry-After': '5',
          },
        },
      ),
      says: [/Wait 5 seconds, then/, SAME, NO_DETOUR],
    },
    {
      when: 'the API did not answer in time',
      play: problemOf('origin-timeout', 'never'),
      says: [/It is not known whether this was executed/, NO_DETOUR],
    },
    {
      when: 'the tool reused the key',
      play: problemOf('key-reused', 'new-key', { pointers: ['/sent_at'] }),
      says: [/Nothing was executed by this call/, /differ at \/sent_at\./, /fault of the tool/],
    },
    {
      when: 'the result is no longer stored',
      play: problemOf('key-expired', 'new-key'),
      says: [/has ended, and its result is no longer stored\. Nothing was executed now/],
    },
    {
      when: 'the result was never stored',
      play: problemOf('result-not-kept', 'never'),
      says: [/executed once, and its result cannot be returned again\. Do not call it again/],
    },
    {
      when: 'the origin could not be reached',
      play: problemOf('origin-unreachable', 'same-key'),
      says: [/Nothing was executed by this call\. Call the same tool/],
    },
    {
      when: 'the store was lost',
      play: problemOf('store-unavailable', 'same-key', {}, '2'),
      says: [/Wait 2 seconds, then .*: it is executed, or you get its result/],
    },
    {
      when: 'the request was rejected',
      play: problemOf('payload-invalid', 'never'),
      says: [
        /rejected: The detail of payload-invalid\./,
        /Nothing was executed by this call/,
        /Correct/,
      ],
    },
    {
      when: 'it was let through without protection',
      play: answer(500, status('unprotected')),
      says: [/sent without protection\. Do not call it again/],
    },
    { when: 'nobody said anything', play: answer(200), says: [/^$/] },
  ])('says what happened and what to do, when $when', async ({ play, says }) => {
    const note = await noteOf(play)
    for (const words of says) expect(note).toMatch(words)
    // These words are for programs that send requests.
    expect(note).not.toMatch(/same key|new key/)
  })

  it.each([
    { when: 'the result is an earlier one', play: repeated() },
    { when: 'the earlier answer was an error', play: answer(402, status('executed')) },
    { when: 'the result is no longer stored', play: problemOf('key-expired', 'new-key') },
  ])('says how to ask for it once more, where the model may: $when', async ({ play }) => {
    const other = play.clone()
    expect(await noteOf(play, 'again')).toMatch(/once more on purpose, call it with "again": 2\.$/)
    expect(await noteOf(other)).not.toContain('again"')
  })

  it.each([
    {
      name: 'an error of a guarded function',
      code: 'outcome-unknown',
      says: /calling again does not/,
    },
    { name: 'an error whose code is new', code: 'a-new-code', says: /It was rejected/ },
    {
      name: 'a claim that was lost',
      code: 'claim-lost',
      says: /it is executed, or you get its result/,
    },
  ])('reads $name that the tool throws', async ({ code, says }) => {
    const error = createError({ code, detail: 'It happened.', retry: 'never' })
    const pay = idempotentTool('pay', () => Promise.reject(error), { runId: 'run-1' })
    await expect(pay({})).rejects.toThrow(says)
  })

  it('believes a tool that says that nothing was executed', async () => {
    const error = new NotExecuted('No stock.', { retryAfter: '90s' })
    const pay = idempotentTool('pay', () => Promise.reject(error), { runId: 'run-1' })
    await expect(pay({})).rejects.toThrow(
      'No stock.\n\nAbout this call: Nothing was executed by this call. Wait 90 seconds, then call',
    )
  })

  it('does not call a result what the tool failed to read', async () => {
    const api = playApi(made())
    const pay = idempotentTool(
      'pay',
      async (input: Payment, call) => JSON.parse(await payBy(call, input)) as unknown,
      api.options,
    )
    await expect(pay({ order: 'o17' })).rejects.toThrow(
      'The API answered, but the tool failed afterwards. Call the same tool',
    )
  })

  it.each([
    { name: 'keeps the model waiting', code: 'circuit-open', retry: 'wait' },
    { name: 'has the key of the first', code: 'key-reused', retry: 'new-key' },
    { name: 'is rejected', code: 'payload-invalid', retry: 'never' },
  ])(
    'does not say that nothing was executed when only the second request of a tool $name',
    async ({ code, retry }) => {
      const api = playApi(made(), problemOf(code, retry))
      const pay = async (input: Payment, call: ToolCall) =>
        (await payBy(call, input)) + (await payBy(call, { ...input, again: 2 }))
      await expect(idempotentTool('pay', pay, api.options)({ order: 'o17' })).rejects.toThrow(
        'A part of this call was executed, or may have been, and the rest was not',
      )
    },
  )

  it('knows the problem that a tool has caught', async () => {
    const api = playApi(problemOf('in-progress', 'wait'))
    const pay = (input: Payment, call: ToolCall) => payBy(call, input).catch(() => 'later')
    const { note } = await idempotentTool('pay', pay, api.options).withNote({ order: 'o17' })
    expect(note).toContain('still running')
  })

  it('says of a second call that nobody reported on that both have one key', async () => {
    const pay = idempotentTool('pay', () => 'paid', { runId: 'run-1' })
    expect((await pay.withNote({})).note).toBe('')
    expect((await pay.withNote({})).note).toContain('You made the same call before.')
  })
})

describe('the argument by which a model asks for it once more', () => {
  const api = () => playApi(made(), made(), made(), made())
  const payOf = ({ options }: ReturnType<typeof api>) =>
    idempotentTool('pay', (input: Payment, call) => payBy(call, input), {
      ...options,
      again: 'again',
    })

  it('counts the wanted ones, and is no part of the request', async () => {
    const played = api()
    const pay = payOf(played)
    await pay({ order: 'o17' })
    await pay({ order: 'o17', again: null })
    await pay({ order: 'o17', again: 1 })
    await pay({ order: 'o17', again: 2 })
    const [first, ...others] = played.keys()
    expect(others).toEqual([first, first, expect.not.stringMatching(String(first))])
    expect(new Set(played.tries.map(({ body }) => body))).toEqual(new Set(['{"order":"o17"}']))
  })

  it('is an argument as any other, unless the option says so', async () => {
    const played = api()
    const pay = idempotentTool('pay', (input: Payment, call) => payBy(call, input), played.options)
    await pay({ order: 'o17', again: 2 })
    expect(played.tries[0]?.body).toBe('{"order":"o17","again":2}')
  })

  it('tells the model what is wrong with it, and calls nothing', async () => {
    const played = api()
    await expect(payOf(played)({ order: 'o17', again: 0 })).rejects.toThrow(
      'The argument "again" must be a whole number from 2, or absent. Nothing was executed.',
    )
    expect(played.tries).toEqual([])
  })
})
