import { BY_VALUE_BYTES } from '../core/wire/body.ts'
import type { PartStore } from './pieces.ts'

/**
 * How long a reader may read nothing before it counts as gone, in milliseconds. It takes up to twice
 * as long until that is noticed. The platform does not keep a waiting object for longer, and a reader
 * takes 1 MiB at a time: only one slower than 10 kbit/s is cut off.
 */
const IDLE_MS = 900_000

/**
 * Makes a body of stored pieces: a value if it is one piece, otherwise a stream.
 *
 * @param letGo Called when the pieces are not needed any more.
 */
export async function toWireBody(
  bodyBytes: number,
  readPart: PartStore['read'],
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

/** Splits a body in memory that is too large to be sent as one value. */
export function splitBody(
  body: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> {
  if (body.byteLength <= BY_VALUE_BYTES) return body
  return streamParts(
    body.byteLength,
    // A copy: a byte stream detaches the buffer of an enqueued chunk.
    async (part) => body.slice(part * BY_VALUE_BYTES, (part + 1) * BY_VALUE_BYTES),
    () => {},
  )
}

/** @throws {Error} To the reader, when the pieces end before the body does. */
function streamParts(
  bodyBytes: number,
  readPart: PartStore['read'],
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

/** How the reading of a stream has ended: with its last byte, or its reader has left, or it broke off. */
export type ReadEnd = 'whole' | 'left'

/** What a stream reads from. */
export interface ByteSource {
  /** @returns The next bytes, or `null` behind the last ones. @throws When the rest is not to be had. */
  readonly next: () => Promise<Uint8Array | null>
  /** Called once, when nothing is read any more. */
  readonly end: (how: ReadEnd) => void
}

/** Makes a stream that reads its source only as fast as it is read itself, and always calls `end`. */
export function toByteStream({ next, end }: ByteSource): ReadableStream<Uint8Array> {
  let isTaking = false
  let hasTaken = true
  let isOver = false
  let watch: ReturnType<typeof setInterval> | undefined
  const finish = (how: ReadEnd) => {
    if (isOver) return
    isOver = true
    clearInterval(watch)
    end(how)
  }
  return new ReadableStream({
    type: 'bytes',
    start(controller) {
      watch = setInterval(() => {
        if (isTaking || hasTaken) return void (hasTaken = false)
        finish('left')
        controller.error(new Error('The body was not read for too long.'))
      }, IDLE_MS)
    },
    async pull(controller) {
      isTaking = hasTaken = true
      try {
        const chunk = await next()
        if (isOver) return
        if (chunk !== null) return controller.enqueue(chunk)
        finish('whole')
        controller.close()
        controller.byobRequest?.respond(0)
      } catch (error) {
        if (isOver) return
        finish('left')
        controller.error(error)
      } finally {
        isTaking = false
      }
    },
    cancel: () => finish('left'),
  })
}
