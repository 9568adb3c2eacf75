import type { Generation } from '../core/operation/record.ts'

/** A piece that is not in its row but in the R2 bucket, under this key. */
export interface SpilledPiece {
  readonly spillKey: string
}

/** Pieces to be stored; `firstPart` is the number of the first one. */
export interface Pieces {
  readonly firstPart: number
  readonly pieces: readonly (Uint8Array | SpilledPiece)[]
}

/** Pieces of an answer that are to be stored. */
export interface UnstoredBody extends Pieces {
  readonly generation: Generation
}

/** Reads and writes one piece of a body. */
export interface PartStore {
  readonly write: (part: number, bytes: Uint8Array) => Promise<void>
  readonly read: (part: number) => Promise<Uint8Array<ArrayBuffer> | null>
}

/** An answer of an operation. Earlier versions stored one at a time, always under the name `response`. */
export type AnswerBody = Generation | 'response'

/** Names one stored answer. */
export interface BodyRef {
  readonly operationId: string
  readonly body: AnswerBody
}

/** Names an answer that is about to be stored. */
export const createGeneration = (): Generation => `answer:${crypto.randomUUID()}`

/**
 * Largest piece of a body, each in a row of its own: with what sealing adds it is below 1 MiB. The
 * platform documents 2 MB for a row and enforces more or less.
 */
export const PIECE_BYTES = 1_048_512

/** Cuts a body into pieces. */
export function toPieces(bytes: Uint8Array): Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (let offset = 0; offset < bytes.byteLength; offset += PIECE_BYTES) {
    pieces.push(bytes.slice(offset, offset + PIECE_BYTES))
  }
  return pieces
}
