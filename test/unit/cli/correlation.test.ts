import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest'

import { printCorrelation } from '../../../cli/admin/correlation.ts'
import { toOperation } from '../../../cli/admin/show.ts'
import { Failure } from '../../../cli/failure.ts'

let out: MockInstance<typeof process.stdout.write>
beforeEach(() => {
  out = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
})
afterEach(() => vi.restoreAllMocks())

const printed = () => out.mock.calls.map(([text]) => String(text)).join('')

const operationOf = (id: string) => ({
  id,
  operation: 'POST /payments',
  tenant: 't',
  state: 'succeeded',
  fence: 1,
})
const entryOf = (what: string) => ({ at: '2026-11-28T10:00:00.000Z', what })

/** Answers of the admin API, by what is asked for. */
const askOf = (answers: Readonly<Record<string, object>>) =>
  vi.fn(async ({ path }: { readonly path: string }) => {
    const body = answers[path]
    if (body === undefined) throw new Error(`Nothing was expected at ${path}.`)
    return { status: 200, body: body as Readonly<Record<string, unknown>> }
  })

const PAGES = {
  '/operations?correlation_id=c+1&limit=100': {
    operations: [operationOf('a'), { id: 'b', state: 'lost' }],
    next: 'b',
    timeline: [entryOf('first')],
    isCut: true,
    timelineNext: 1_000,
    analytics: 'read',
  },
  '/operations?correlation_id=c+1&limit=100&after=b': {
    operations: [operationOf('d')],
    next: null,
  },
  '/timeline?correlation_id=c+1&after=1000': { timeline: [entryOf('last')], timelineNext: null },
}

describe('hapax admin correlation', () => {
  it('reads operations and timeline to their ends, and names the one that is lost', async () => {
    await printCorrelation(askOf(PAGES), 'c 1', false)
    expect(printed().split('\n')).toEqual([
      'ID  STATE           OPERATION       FENCE  TENANT',
      'a   succeeded       POST /payments  1      t',
      'b   did not answer',
      'd   succeeded       POST /payments  1      t',
      '',
      '2026-11-28T10:00:00.000Z  first',
      '2026-11-28T10:00:00.000Z  last',
      '',
    ])
  })

  it('prints one document for programs', async () => {
    await printCorrelation(askOf(PAGES), 'c 1', true)
    expect(JSON.parse(printed())).toMatchObject({
      operations: [{ id: 'a' }, { id: 'b', state: 'lost' }, { id: 'd' }],
      timeline: [{ what: 'first' }, { what: 'last' }],
    })
  })

  it.each([
    { what: 'operations', lost: '/operations?correlation_id=c+1&limit=100&after=b', left: 'last' },
    { what: 'points', lost: '/timeline?correlation_id=c+1&after=1000', left: 'd   succeeded' },
  ])('has what was read where more $what cannot be, and ends with 1', async ({ lost, left }) => {
    const whole = askOf(PAGES)
    const ask = vi.fn((question: { readonly path: string }) =>
      question.path === lost ? Promise.reject(new Failure('It failed. (502)')) : whole(question),
    )
    await expect(printCorrelation(ask, 'c 1', false)).rejects.toMatchObject({
      exitCode: 1,
      message: 'The rest could not be read: It failed. (502)',
    })
    expect(printed()).toContain('a   succeeded')
    expect(printed()).toContain('first')
    expect(printed()).toContain(left)
  })

  it('says where the timeline could not be read', async () => {
    const page = { operations: [], next: null, timeline: [], timelineNext: null }
    const ask = askOf({
      '/operations?correlation_id=c&limit=100': { ...page, analytics: 'unavailable' },
    })
    await printCorrelation(ask, 'c', false)
    expect(printed()).toContain('No operation has this correlation id.')
    expect(printed()).toContain('could not be read')
  })
})

describe('hapax admin operation', () => {
  const body = { ...operationOf('a'), attempts: [], timeline: [entryOf('created')] }

  it.each([
    { name: 'is whole', more: { isCut: false, analytics: 'read' }, says: /created$/ },
    {
      name: 'is cut',
      more: { isCut: true },
      says: /To see all events: hapax analytics operation a$/,
    },
    {
      name: 'lacks its requests',
      more: { analytics: 'unavailable' },
      says: /could not be read\.$/,
    },
  ])('says where its timeline $name', ({ more, says }) => {
    const text = toOperation({ status: 200, body: { ...body, ...more, timelineNext: null } })
    expect(text).toMatch(says)
    expect(text).not.toMatch(/isCut|timelineNext|analytics {2}/)
  })
})
