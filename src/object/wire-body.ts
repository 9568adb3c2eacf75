import type { Answer } from '../core/answer.ts'
import type { LiveBody } from '../core/reply.ts'
import { toByteStream } from './byte-stream.ts'

/** Reads one piece of a body; `null` behind its end. */
type ReadPart = (part: number) => Promise<Uint8Array<ArrayBuffer> | null>

/** Bodies up to this size cross RPC as one value, larger ones as a stream. */
const BY_VALUE_BYTES = 1_048_576

/**
 * Makes a body of stored pieces: by value where it is one piece, else a stream that reads as it is read.
 *
 * @param letGo Called when the pieces are not needed any more.
 */
export async function toWireBody(
  bodyBytes: number,
  readPart: ReadPart,
  letGo: () => void,
): Promise<Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>> {
  try {
    const first = await readPart(0)
    if (first?.byteLength !== bodyBytes) return streamParts(bodyBytes, readPart, letGo)
    letGo()
    return first
  } catch (error) {
    letGo()
    throw error
  }
}

/** Splits a body that is in memory where it is too large to be sent as one value. */
export function splitBody(
  body: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> {
  if (body.byteLength <= BY_VALUE_BYTES) return body
  return streamParts(
    body.byteLength,
    // A copy: a byte stream takes the buffer of what is enqueued away from its owner.
    async (part) => body.slice(part * BY_VALUE_BYTES, (part + 1) * BY_VALUE_BYTES),
    () => {},
  )
}

/** @throws {Error} To the reader, when the pieces end before the body does. */
function streamParts(
  bodyBytes: number,
  readPart: ReadPart,
  end: () => void,
): ReadableStream<Uint8Array> {
  let part = 0
  let sentBytes = 0
  return toByteStream({
    async next() {
      if (sentBytes === bodyBytes) return null
      const piece = await readPart(part)
      if (piece === null) throw new Error('A piece of the stored body is gone.')
      part += 1
      sentBytes += piece.byteLength
      return piece
    },
    end,
  })
}

/** Drops the body of an answer that nobody gets; it is recorded, or read to its end, all the same. */
export function dropBody(answer: Answer): void {
  if (!('response' in answer) || !(answer.response.body instanceof ReadableStream)) return
  answer.response.body.cancel().catch(() => {})
}

/** Makes a live body of a stream that a Worker sends; one that breaks off was lost with its Worker. */
export function toLiveBody(stream: ReadableStream<Uint8Array>): LiveBody {
  const reader = stream.getReader()
  return {
    async next() {
      const { value } = await reader.read()
      return value ?? null
    },
    faultOf: () => 'lost',
    // Who sends it may have gone already.
    cancel: () => void reader.cancel().catch(() => {}),
  }
}
