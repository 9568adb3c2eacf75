/**
 * The least that idempotency costs on this platform, without any feature: a claim on disk before the
 * call, the response on disk after it, an alarm, and a read for a repeat.
 */
import { DurableObject } from 'cloudflare:workers'

interface FloorEnv {
  readonly ORIGIN_URL: string
  readonly OPERATIONS: DurableObjectNamespace<FloorObject>
  /** In how many objects the operations are. Without it, each has an object of its own. */
  readonly SHARDS?: string
}

type StoredAnswer = {
  readonly status: number
  readonly type: string
  readonly body: ArrayBuffer
}

interface FloorCall {
  readonly key: string
  readonly path: string
  readonly body: ArrayBuffer
}

const RETENTION_MS = 86_400_000

/** One operation, or those of a shard. */
export class FloorObject extends DurableObject<FloorEnv> {
  readonly #running = new Map<string, Promise<StoredAnswer>>()
  #hasAlarm = false

  constructor(ctx: DurableObjectState, env: FloorEnv) {
    super(ctx, env)
    ctx.storage.sql.exec(
      'CREATE TABLE IF NOT EXISTS operation (id TEXT PRIMARY KEY, status INTEGER, type TEXT, body BLOB) WITHOUT ROWID',
    )
  }

  async execute(call: FloorCall): Promise<StoredAnswer> {
    const running = this.#running.get(call.key)
    if (running !== undefined) return running
    const [row] = this.ctx.storage.sql
      .exec<StoredAnswer>('SELECT status, type, body FROM operation WHERE id = ?', call.key)
      .toArray()
    if (row !== undefined) return row
    const work = this.#run(call)
    this.#running.set(call.key, work)
    return work.finally(() => this.#running.delete(call.key))
  }

  async #run({ key, path, body }: FloorCall): Promise<StoredAnswer> {
    const { sql } = this.ctx.storage
    sql.exec('INSERT INTO operation (id) VALUES (?)', key)
    const response = await fetch(this.env.ORIGIN_URL + path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body,
    })
    const { status, headers } = response
    const type = headers.get('Content-Type') ?? ''
    const answer = await response.arrayBuffer()
    const update = 'UPDATE operation SET status = ?, type = ?, body = ? WHERE id = ?'
    sql.exec(update, status, type, answer, key)
    // A shard has one alarm for many operations.
    if (!this.#hasAlarm) await this.ctx.storage.setAlarm(Date.now() + RETENTION_MS)
    this.#hasAlarm = true
    return { status, type, body: answer }
  }

  override async alarm(): Promise<void> {
    await this.ctx.storage.deleteAll()
  }
}

/** A shard by the key's first hash; the platform's own are no cheaper. */
function shardOf(key: string, count: number): string {
  let hash = 0
  for (let index = 0; index < key.length; index += 1)
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x01_00_01_93)
  return `shard:${(hash >>> 0) % count}`
}

// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url)
    if (pathname === '/ready') return new Response()
    const key = request.headers.get('Idempotency-Key') ?? ''
    const name = env.SHARDS === undefined ? key : shardOf(key, Number(env.SHARDS))
    const body = await request.arrayBuffer()
    const answer = await env.OPERATIONS.getByName(name).execute({ key, path: pathname, body })
    return new Response(answer.body, {
      status: answer.status,
      headers: { 'Content-Type': answer.type },
    })
  },
} satisfies ExportedHandler<FloorEnv>
