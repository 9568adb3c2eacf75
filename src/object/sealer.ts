import { fromBase64, toBase64 } from '../core/base64.ts'
import type { Settlement } from '../core/operation/settle.ts'
import { isSealed, type SnapshotHead, type StoredHead } from '../core/operation/snapshot.ts'
import { type SealKey, seal, unseal } from '../core/seal.ts'
import { readSpilled, requireSpill } from '../platform/spill.ts'
import type { Bodies } from './bodies.ts'
import { type BodyRef, type PartStore, PIECE_BYTES, type Pieces } from './pieces.ts'

/**
 * Seals and opens the snapshot of one claim: its head, and the pieces of its body one by one. Without
 * a key everything stays in clear.
 */
export class Sealer {
  readonly #key: SealKey | null
  /** Names the claim: what is sealed for one does not open as another's. */
  readonly #context: string

  constructor(
    { operationId, fence }: { readonly operationId: string; readonly fence: number },
    key: SealKey | null,
  ) {
    this.#key = key
    this.#context = `${operationId}:${fence}`
  }

  /** Seals the response that a settlement keeps. */
  async sealSettlement(settlement: Settlement): Promise<Settlement> {
    if (this.#key === null || !('snapshot' in settlement)) return settlement
    const { snapshot } = settlement
    if (isSealed(snapshot)) return settlement
    const bytes = new TextEncoder().encode(JSON.stringify(snapshot))
    const box = seal(this.#key.bytes, `${this.#context}:head`, bytes)
    const { bodyBytes, body, omittedFor } = snapshot
    const known = { bodyBytes, body, ...(omittedFor && { omittedFor }) }
    return { ...settlement, snapshot: { ...known, keyId: this.#key.id, box: toBase64(box) } }
  }

  async sealPieces(pieces: readonly Uint8Array[], firstPart: number): Promise<Pieces> {
    const sealed = pieces.map((piece, index) => this.sealPart(firstPart + index, piece))
    return { firstPart, pieces: await Promise.all(sealed) }
  }

  async sealPart(part: number, bytes: Uint8Array): Promise<Uint8Array> {
    return this.#key === null ? bytes : seal(this.#key.bytes, `${this.#context}:${part}`, bytes)
  }

  /** @throws {Error} When it was sealed for another claim, or changed. */
  async openPart(part: number, stored: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    return this.#key === null ? stored : unseal(this.#key.bytes, `${this.#context}:${part}`, stored)
  }

  /** @returns `null` without the key: the head was sealed for the key of another client. */
  async openHead(stored: StoredHead): Promise<SnapshotHead | null> {
    if (!isSealed(stored)) return stored
    if (this.#key === null) return null
    try {
      const box = fromBase64(stored.box)
      const bytes = await unseal(this.#key.bytes, `${this.#context}:head`, box)
      return JSON.parse(new TextDecoder().decode(bytes)) as SnapshotHead
    } catch {
      return null
    }
  }
}

/** Where pieces go that are not in rows. */
interface SpillRules {
  readonly bucket: R2Bucket | undefined
  /** Bytes from which on pieces go to the R2 bucket; `null`: all of them stay in rows. */
  readonly spillBytes: number | null
}

/** One stored answer of an operation: its pieces in rows or in the R2 bucket. */
export function partsOf(
  bodies: Bodies,
  ref: BodyRef,
  sealer: Sealer,
  { bucket, spillBytes }: SpillRules,
): PartStore {
  return {
    async write(part, bytes) {
      const stored = await sealer.sealPart(part, bytes)
      if (spillBytes === null || (part + 1) * PIECE_BYTES <= spillBytes) {
        return bodies.write(ref, { firstPart: part, pieces: [stored] })
      }
      // The row comes first: whatever is in the R2 bucket is known here, also after a crash.
      const spillKey = `${ref.operationId}/${crypto.randomUUID()}`
      bodies.write(ref, { firstPart: part, pieces: [{ spillKey }] })
      await requireSpill(bucket).put(spillKey, stored)
    },
    async read(part) {
      const kept = bodies.readPart(ref.operationId, ref.body, part)
      if (kept === null) return null
      const isSpilled = 'spillKey' in kept
      return sealer.openPart(part, isSpilled ? await readSpilled(bucket, kept.spillKey) : kept)
    },
  }
}
