import { fromBase64, toBase64 } from '../core/base64.ts'
import type { ClaimRef, SettledRecord } from '../core/record.ts'
import { type SealKey, seal, unseal } from '../core/seal.ts'
import type { Settlement } from '../core/settle.ts'
import { isSealed, type SealedHead, type SnapshotHead } from '../core/snapshot.ts'
import type { Spill } from '../platform/spill.ts'
import type { Bodies } from './bodies.ts'
import { type BodyRef, PIECE_BYTES, type Pieces } from './body-table.ts'

/** Seals and opens the snapshot of one claim: its head, and the pieces of its body one by one. */
export class Sealer {
  readonly #key: SealKey
  /** Names the claim: what is sealed for one does not open as another's. */
  readonly #context: string

  constructor(key: SealKey, operationId: string, fence: number) {
    this.#key = key
    this.#context = `${operationId}:${fence}`
  }

  async sealHead(head: SnapshotHead): Promise<SealedHead> {
    const bytes = new TextEncoder().encode(JSON.stringify(head))
    const box = await seal(this.#key.bytes, `${this.#context}:head`, bytes)
    const { bodyBytes, body, omittedFor } = head
    const reason = omittedFor && { omittedFor }
    return { bodyBytes, body, ...reason, keyId: this.#key.id, box: toBase64(box) }
  }

  /** @throws {Error} When it was sealed for somebody else, or changed. */
  async openHead({ box }: SealedHead): Promise<SnapshotHead> {
    const bytes = await unseal(this.#key.bytes, `${this.#context}:head`, fromBase64(box))
    return JSON.parse(new TextDecoder().decode(bytes)) as SnapshotHead
  }

  sealPart(part: number, bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    return seal(this.#key.bytes, `${this.#context}:${part}`, bytes)
  }

  openPart(part: number, sealed: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    return unseal(this.#key.bytes, `${this.#context}:${part}`, sealed)
  }
}

/** Reads and writes one piece of a body. */
export interface PartStore {
  readonly write: (part: number, bytes: Uint8Array) => Promise<void>
  readonly read: (part: number) => Promise<Uint8Array<ArrayBuffer> | null>
}

/** How the pieces of a body are kept. */
export interface PartRules {
  readonly sealer: Sealer | null
  readonly spill: Spill | null
  /** Bytes from which on pieces go to the bucket. */
  readonly spillBytes: number
}

/** One answer of an operation: its pieces in rows or in the bucket, sealed where there is a sealer. */
export function partsOf(
  bodies: Bodies,
  ref: BodyRef,
  { sealer, spill, spillBytes }: PartRules,
): PartStore {
  return {
    async write(part, bytes) {
      const stored = sealer === null ? bytes : await sealer.sealPart(part, bytes)
      if (spill === null || (part + 1) * PIECE_BYTES <= spillBytes) {
        return bodies.write(ref, { firstPart: part, pieces: [stored] })
      }
      // The row comes first: whatever is in the bucket is known here, also after a crash.
      const spillKey = `${ref.operationId}/${crypto.randomUUID()}`
      bodies.write(ref, { firstPart: part, pieces: [{ spillKey }] })
      await spill.put(spillKey, stored)
    },
    async read(part) {
      const kept = bodies.readPart(ref, part)
      const stored = kept !== null && 'spillKey' in kept ? await spill?.get(kept.spillKey) : kept
      if (stored === undefined) throw new Error('A stored body is in a bucket that is not bound.')
      return stored === null || sealer === null ? stored : sealer.openPart(part, stored)
    },
  }
}

/** @returns `null` where nothing is sealed. */
export function sealerOf(
  { operationId, fence }: Pick<ClaimRef, 'operationId' | 'fence'>,
  key: SealKey | null,
): Sealer | null {
  return key === null ? null : new Sealer(key, operationId, fence)
}

/** Seals what a settlement keeps of a response, where there is a sealer. */
export async function sealSettlement(
  settlement: Settlement,
  sealer: Sealer | null,
): Promise<Settlement> {
  if (sealer === null || !('snapshot' in settlement) || isSealed(settlement.snapshot)) {
    return settlement
  }
  return { ...settlement, snapshot: await sealer.sealHead(settlement.snapshot) }
}

/** Seals pieces of a body, where there is a sealer. */
export async function sealPieces(
  pieces: readonly Uint8Array[],
  sealer: Sealer | null,
  firstPart: number,
): Promise<Pieces> {
  if (sealer === null) return { firstPart, pieces }
  const sealed = pieces.map((piece, index) => sealer.sealPart(firstPart + index, piece))
  return { firstPart, pieces: await Promise.all(sealed) }
}

/**
 * Opens the head of a stored response with the keys at hand.
 *
 * @returns `null` when none of them opens it.
 */
export async function openHead(
  operationId: string,
  { snapshot, fence }: SettledRecord,
  keys: readonly SealKey[],
): Promise<{ readonly head: SnapshotHead; readonly sealer: Sealer | null } | null> {
  if (!isSealed(snapshot)) return { head: snapshot, sealer: null }
  const sealer = sealerOf(
    { operationId, fence },
    keys.find(({ id }) => id === snapshot.keyId) ?? null,
  )
  if (sealer === null) return null
  try {
    return { head: await sealer.openHead(snapshot), sealer }
  } catch {
    // The key is another client's: what it was sealed for is not what this request brings.
    return null
  }
}
