/** A shard that can be filled, for `bench/shard-growth.ts`. */
import { DurableObject } from 'cloudflare:workers'

import { toBase64Url } from '../../src/core/base64.ts'
import type { Settlement } from '../../src/core/operation/settle.ts'
import { Ledger } from '../../src/object/ledger.ts'
import { createGeneration } from '../../src/object/pieces.ts'

const HOUR_MS = 3_600_000
/** Results of a run are kept so long that none of them expires in it. */
const RETENTION_MS = 24 * HOUR_MS

const snapshot = {
  status: 201,
  headers: [],
  corsOrigin: null,
  body: 'kept',
  bodyBytes: 64,
} as const
const DONE: Settlement = {
  outcome: 'succeeded',
  evidence: { originStatus: 201, fault: null },
  snapshot,
  retentionMs: null,
}
const BODY = new TextEncoder().encode(JSON.stringify({ id: 'pay_1', note: 'x'.repeat(40) }))

/** An id as the gateway makes it. */
function idOf(nth: number): string {
  const bytes = new Uint8Array(32)
  const view = new DataView(bytes.buffer)
  for (let at = 0; at < 32; at += 4) view.setUint32(at, Math.imul(nth + at, 2_654_435_761) >>> 0)
  return toBase64Url(bytes)
}

const claimOf = (operationId: string) => `claim of ${operationId}`

export class ShardObject extends DurableObject {
  readonly #ledger = new Ledger(this.ctx.storage, true, () => false)

  /** Runs operations from claim to settle, and stores many of them at once. */
  async fill(from: number, to: number, retentionMs: number): Promise<void> {
    for (let nth = from; nth < to; nth++) {
      const operationId = idOf(nth)
      this.#claim(operationId, retentionMs)
      this.#settle(operationId)
    }
  }

  /** The same as in use: each claim and each settle is on disk before the next one. */
  async run(from: number, to: number): Promise<void> {
    for (let nth = from; nth < to; nth++) {
      const operationId = idOf(nth)
      this.#claim(operationId, RETENTION_MS)
      await this.ctx.storage.sync()
      this.#settle(operationId)
      await this.ctx.storage.sync()
    }
  }

  #claim(operationId: string, retentionMs: number): void {
    const claimId = claimOf(operationId)
    const decision = this.#ledger.claim(toRequest(operationId, claimId, retentionMs), null)
    if (decision.kind !== 'execute') throw new Error(`It was ${decision.kind}.`)
  }

  #settle(operationId: string): void {
    const claimId = claimOf(operationId)
    const body = { generation: createGeneration(), firstPart: 0, pieces: [BODY] }
    this.#ledger.settle({ operationId, claimId, fence: 1 }, DONE, body)
  }

  /** Reads results again. */
  async repeat(from: number, to: number): Promise<void> {
    for (let nth = from; nth < to; nth++) {
      const id = idOf(nth)
      const decision = this.#ledger.look(toRequest(id, 'again', RETENTION_MS))
      if (decision.kind !== 'replay') throw new Error(`It was ${decision.kind}.`)
      const { generation } = decision.settled
      if (generation !== undefined) this.#ledger.bodies.readPart(id, generation, 0)
    }
  }

  async countBuckets(): Promise<number> {
    const { sql } = this.ctx.storage
    return sql.exec("SELECT 1 FROM sqlite_master WHERE name LIKE 'bucket%'").toArray().length
  }

  override async alarm(): Promise<void> {
    this.#ledger.tidy()
  }
}

function toRequest(operationId: string, claimId: string, retentionMs: number) {
  return {
    operationId,
    operation: 'POST /payments',
    tenant: 'tenant',
    fingerprint: `v1:${operationId}`,
    places: '',
    claimId,
    correlationId: operationId,
    traceparent: '',
    recovery: { kind: 'hold' },
    reauthorizePath: null,
    isAccepted: false,
    events: [],
    retentionMs,
    tombstoneMs: 0,
    leaseMs: 60_000,
  } as const
}

interface Env {
  readonly SHARD: DurableObjectNamespace<ShardObject>
}

// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default {
  async fetch(request, { SHARD }) {
    const url = new URL(request.url)
    const [from = 0, to = 0] = ['from', 'to'].map((name) => Number(url.searchParams.get(name)))
    const shard = SHARD.getByName(url.searchParams.get('shard') ?? '')
    if (url.pathname === '/fill') await shard.fill(from, to, RETENTION_MS)
    if (url.pathname === '/run') await shard.run(from, to)
    if (url.pathname === '/fill-briefly') await shard.fill(from, to, 1)
    if (url.pathname === '/repeat') await shard.repeat(from, to)
    return Response.json(url.pathname === '/buckets' ? await shard.countBuckets() : 'ok')
  },
} satisfies ExportedHandler<Env>
