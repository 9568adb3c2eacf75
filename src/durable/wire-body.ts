import type { LiveBody } from '../core/reply.ts'

/** Reads one piece of a body; `null` behind its end. */
type ReadPart = (part: number) => Promise<Uint8Array<ArrayBuffer> | null>

/** Bodies up to this size cross RPC as one value, larger ones as a stream. */
const BY_VALUE_BYTES = 1_048_576

/** Makes a body of stored pieces: by value where it is one piece, else a stream that reads as it is read. */
export async function toWireBody(
  bodyBytes: number,
  readPart: ReadPart,
): Promise<Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>> {
  const first = await readPart(0)
  if (first !== null && first.byteLength === bodyBytes) return first
  return streamParts(bodyBytes, readPart)
}

/** Splits a body that is in memory where it is too large to be sent as one value. */
export function splitBody(
  body: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> {
  if (body.byteLength <= BY_VALUE_BYTES) return body
  return streamParts(body.byteLength, async (part) => {
    // A copy: a byte stream takes the buffer of what is enqueued away from its owner.
    const piece = body.slice(part * BY_VALUE_BYTES, (part + 1) * BY_VALUE_BYTES)
    return piece.byteLength === 0 ? null : piece
  })
}

/** @throws {Error} To the reader, when the pieces end before the body does: it expired meanwhile. */
function streamParts(bodyBytes: number, readPart: ReadPart): ReadableStream<Uint8Array> {
  let part = 0
  let sentBytes = 0
  return new ReadableStream({
    type: 'bytes',
    async pull(controller) {
      const piece = await readPart(part)
      if (piece === null) {
        controller.error(new Error('The stored body expired while it was read.'))
        return
      }
      part += 1
      sentBytes += piece.byteLength
      controller.enqueue(piece)
      if (sentBytes === bodyBytes) controller.close()
    },
  })
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
  }
}
