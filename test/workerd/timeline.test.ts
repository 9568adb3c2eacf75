import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { credential, protect } from '../../src/hapax.ts'
import { idOf } from './client.ts'
import { clientOf, createOperatedGateway } from './gateway.ts'
import { playOrigin } from './origin.ts'

const TOKEN = 'operator-token-of-this-test'
const CONFIGURED = { CLOUDFLARE_ACCOUNT_ID: 'a'.repeat(32), CLOUDFLARE_API_TOKEN: 'token' }

beforeEach(() => {
  vi.spyOn(console, 'error').mockImplementation(() => {})
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const app = createOperatedGateway({ tenant: credential('Authorization') })
app.post('/traced', protect())

/** Executes operations. @returns Their ids, in order. */
async function execute(...keys: readonly string[]): Promise<string[]> {
  playOrigin(() => new Response('x', { status: 201, headers: { 'Content-Length': '1' } }))
  await Promise.all(keys.map((key) => clientOf(app, '/traced')(key)))
  const ids = await Promise.all(keys.map((key) => idOf(key)))
  return ids.toSorted()
}

/** What an operator of a deployment is told. */
async function ask(path: string, vars: Record<string, unknown> = CONFIGURED) {
  const response = await clientOf(app, `/_hapax/admin${path}`)('none', {
    method: 'GET',
    headers: { Authorization: `Bearer ${TOKEN}` },
    env: { HAPAX_ADMIN_TOKEN: TOKEN, ...vars },
  })
  const body = await response.json<Record<string, unknown> & Answered>()
  return { status: response.status, body }
}

interface Answered {
  readonly operations: readonly { readonly id: string; readonly state: string }[]
  readonly timeline: readonly { readonly at: string; readonly what: string }[]
  readonly next: string | null
}

type Rows = readonly Readonly<Record<string, string | number>>[]
interface Points {
  /** Ids behind the one that the page begins behind. */
  readonly ids: (after: string, limit: number) => Rows | Promise<Rows>
  readonly points: (offset: number, limit: number) => Rows | Promise<Rows>
}

/** An Analytics Engine that finds what a test says. */
function playPoints({ ids = () => [], points = () => [] }: Partial<Points> = {}) {
  playOrigin(async (request) => {
    const sql = await request.text()
    const [, limit = '0', offset = '0'] = /LIMIT (\d+)(?:\nOFFSET (\d+))?$/.exec(sql) ?? []
    const [, after = ''] = /blob8 > '([^']*)'/.exec(sql) ?? []
    const rows = await (sql.includes('timestamp AS seen_at')
      ? points(Number(offset), Number(limit))
      : ids(after, Number(limit)))
    const names = Object.keys(rows[0] ?? {})
    return Response.json({
      meta: names.map((name) => ({ name, type: name === 'seen_at' ? 'DateTime' : 'String' })),
      data: rows,
      rows: rows.length,
    })
  })
}

const listOf = (ids: readonly string[]) => (after: string, limit: number) =>
  ids
    .filter((id) => id > after)
    .slice(0, limit)
    .map((id) => ({ operation_id: id }))

const pointsOf = (count: number) => (offset: number, limit: number) =>
  Array.from({ length: count }, (_, nth) => ({
    seen_at: '2026-11-28 10:00:00',
    status: `point-${nth}`,
  })).slice(offset, offset + limit)

const never = () => new Promise<never>(() => {})

/** Waits for what takes seconds, without them. */
async function hasten<result>(work: Promise<result>): Promise<result> {
  const over = work.then(() => true)
  // The real objects need a moment in between.
  const pass = async () => {
    await Promise.all([vi.advanceTimersByTimeAsync(500), scheduler.wait(10)])
    return false
  }
  while (!(await Promise.race([over, pass()])));
  return work
}

describe('the operations of a correlation id', () => {
  it('come in pages that are complete together', async () => {
    const ids = await execute('page-1', 'page-2', 'page-3', 'page-4', 'page-5')
    playPoints({ ids: listOf(ids), points: pointsOf(2) })
    const first = await ask('/operations?correlation_id=c&limit=3')
    expect(first.body).toMatchObject({ next: ids[2], isCut: false, timelineNext: null })
    expect(first.body.timeline).toHaveLength(2)
    const second = await ask(`/operations?correlation_id=c&limit=3&after=${first.body.next}`)
    expect(second.body.next).toBeNull()
    expect(second.body).not.toHaveProperty('timeline')
    const found = [...first.body.operations, ...second.body.operations]
    expect(found.map(({ id }) => id)).toEqual(ids)
  })

  it.each(['0', '101', 'x'])('have no page of %s', async (limit) => {
    expect((await ask(`/operations?correlation_id=c&limit=${limit}`)).status).toBe(400)
  })

  it.each([
    { name: 'fails', examine: () => Promise.reject(new Error('overloaded')) },
    { name: 'never answers', examine: never },
  ])('name the one whose object $name in its place, and show the others', async ({ examine }) => {
    const ids = await execute('lost-1', 'lost-2', 'lost-3')
    playPoints({ ids: listOf(ids) })
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const OPERATIONS = {
      getByName: (id: string) => (id === ids[1] ? { examine } : env.OPERATIONS.getByName(id)),
    }
    const { status, body } = await hasten(
      ask('/operations?correlation_id=c', { ...CONFIGURED, OPERATIONS }),
    )
    expect(status).toBe(200)
    expect(body.operations[1]).toEqual({ id: ids[1], state: 'lost' })
    expect(body.operations.map(({ id, state }) => [id, state])).toEqual([
      [ids[0], 'succeeded'],
      [ids[1], 'lost'],
      [ids[2], 'succeeded'],
    ])
  })

  it('are asked six at once', async () => {
    const keys = Array.from({ length: 20 }, (_, nth) => `busy-${nth}`)
    const ids = await execute(...keys)
    playPoints({ ids: listOf(ids) })
    let [asked, most] = [0, 0]
    const getByName = (id: string) => ({
      examine: async () => {
        most = Math.max(most, (asked += 1))
        await scheduler.wait(1)
        const object = env.OPERATIONS.getByName(id)
        const view = await object.examine(id)
        asked -= 1
        return view
      },
    })
    const { body } = await ask('/operations?correlation_id=c', {
      ...CONFIGURED,
      OPERATIONS: { getByName },
    })
    expect(body.operations).toHaveLength(20)
    expect(most).toBe(6)
  })

  it('are shown where the timeline cannot be read, which is said', async () => {
    const ids = await execute('no-timeline')
    const points = () => Promise.reject(new Error('no rows'))
    playPoints({ ids: listOf(ids), points })
    const { status, body } = await ask('/operations?correlation_id=c')
    expect(status).toBe(200)
    expect(body).toMatchObject({ operations: [{}], timeline: [], analytics: 'unavailable' })
  })

  it('cannot be found without analytics', async () => {
    expect((await ask('/operations?correlation_id=c', {})).status).toBe(503)
  })
})

describe('the timeline of a correlation id', () => {
  it('says where it is cut, and goes on there', async () => {
    playPoints({ points: pointsOf(2_345) })
    const first = await ask('/operations?correlation_id=c')
    expect(first.body).toMatchObject({ isCut: true, timelineNext: 1_000 })
    const second = await ask('/timeline?correlation_id=c&after=1000')
    expect(second.body).toMatchObject({ isCut: true, timelineNext: 2_000 })
    const third = await ask('/timeline?correlation_id=c&after=2000')
    expect(third.body).toMatchObject({ isCut: false, timelineNext: null })
    const all = [first, second, third].flatMap(({ body }) => body.timeline)
    expect(all.map(({ what }) => what)).toEqual(all.map((_, nth) => `point-${nth}`))
    expect(all).toHaveLength(2_345)
  })

  it.each(['/timeline', '/timeline?correlation_id=c&after=x'])('is none at %s', async (path) => {
    expect((await ask(path)).status).toBe(400)
  })
})

describe('an operation', () => {
  it('is shown with what its requests have left', async () => {
    const [id] = await execute('seen')
    playPoints({ points: pointsOf(1) })
    const { body } = await ask(`/operations/${id}`)
    expect(body).toMatchObject({ state: 'succeeded', analytics: 'read', isCut: false })
    expect(body.timeline.map(({ what }) => what)).toContain('point-0')
    expect(body.timeline.map(({ what }) => what)).toContain('created')
  })

  it('says where its timeline is cut, and goes on there with its points alone', async () => {
    const [id] = await execute('seen-often')
    playPoints({ points: pointsOf(1_001) })
    expect((await ask(`/operations/${id}`)).body).toMatchObject({
      isCut: true,
      timelineNext: 1_000,
    })
    const { body } = await ask(`/operations/${id}?after=1000`)
    expect(body).toMatchObject({ isCut: false, timelineNext: null })
    expect(body.timeline.map(({ what }) => what)).toEqual(['point-1000'])
  })

  it.each([
    { name: 'fail', points: () => Promise.reject(new Error('no rows')) },
    { name: 'never answer', points: never },
  ])('is shown where analytics $name, which is said', async ({ points }) => {
    const [id] = await execute('unseen')
    playPoints({ points })
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const { status, body } = await hasten(ask(`/operations/${id}`))
    expect(status).toBe(200)
    expect(body).toMatchObject({ state: 'succeeded', analytics: 'unavailable' })
    expect(body.timeline.map(({ what }) => what)).toContain('created')
  })

  it('is shown where no analytics are configured', async () => {
    const [id] = await execute('unconfigured')
    const { body } = await ask(`/operations/${id}`, {})
    expect(body['state']).toBe('succeeded')
    expect(body).not.toHaveProperty('analytics')
  })
})

describe('the rows of a query', () => {
  it.each([
    { count: 100, isCut: false },
    { count: 101, isCut: true },
  ])('say of $count that they are cut: $isCut', async ({ count, isCut }) => {
    const rows = Array.from({ length: count }, (_, nth) => ({ operation_id: `op-${nth}` }))
    playPoints({ ids: () => rows })
    const { body } = await ask('/analytics/unknown')
    expect(body).toMatchObject({ isCut })
    expect(body['rows']).toHaveLength(100)
  })
})
