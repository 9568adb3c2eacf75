import { concat } from '../bytes.ts'

/**
 * For how many milliseconds a body is read after its client left: a broken connection could stop the
 * origin, but a stream may have no end. The platform stops an object without clients after about as long.
 */
export const ALONE_MS = 900_000

/** A body up to this length crosses RPC as one value, a larger one as a stream. */
export const BY_VALUE_BYTES = 1_048_576

/** A timer for the silences of a stream. */
export interface Watch {
  restart(): void
  stop(): void
  /** Breaks the stream off in so many milliseconds. @returns Cancels that. */
  breakIn?(ms: number): () => void
}

const UNWATCHED: Watch = { restart() {}, stop() {} }

/** A body over the limit: what was read so far, and the reader to go on with. */
export interface OverLimit {
  readonly kind: 'over'
  readonly head: readonly Uint8Array[]
  readonly rest: ReadableStreamDefaultReader<Uint8Array>
}

/** A body that was read up to a limit. */
export type CollectedBody =
  | { readonly kind: 'whole'; readonly bytes: Uint8Array<ArrayBuffer> }
  | OverLimit

/**
 * Reads a body until it ends or has more bytes than the limit.
 *
 * @param watch Restarted at every chunk.
 * @throws Whatever the stream breaks with.
 */
export async function collectBody(
  stream: ReadableStream<Uint8Array> | null,
  limitBytes: number,
  watch: Watch = UNWATCHED,
): Promise<CollectedBody> {
  if (stream === null) return { kind: 'whole', bytes: new Uint8Array() }
  const reader = stream.getReader()
  const chunks: Uint8Array[] = []
  let size = 0
  for (;;) {
    // oxlint-disable-next-line no-await-in-loop -- chunks come one after the other
    const { done, value } = await reader.read()
    if (done) return { kind: 'whole', bytes: concat(chunks) }
    watch.restart()
    chunks.push(value)
    size += value.byteLength
    if (size > limitBytes) return { kind: 'over', head: chunks, rest: reader }
  }
}

/**
 * Streams a body that is too large to be collected, as fast as it is read. If its reader leaves, it is
 * still read, to its end or for `ALONE_MS`.
 */
export function continueBody(
  { head, rest }: OverLimit,
  watch: Watch = UNWATCHED,
): ReadableStream<Uint8Array> {
  // Reversed, since removing the first of many moves all the others.
  const chunks = head.toReversed()
  /** The next chunk that has bytes: a byte stream takes no others. */
  const next = async () => {
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- chunks come one after the other
      const chunk = chunks.pop() ?? (await read()).value
      if (chunk === undefined || chunk.byteLength > 0) return chunk
    }
  }
  const read = async () => {
    watch.restart()
    try {
      return await rest.read()
    } finally {
      watch.stop()
    }
  }
  return new ReadableStream({
    type: 'bytes',
    async pull(controller) {
      const chunk = await next()
      // A copy: a byte stream takes the buffer of what is enqueued away from its owner.
      if (chunk !== undefined) return controller.enqueue(chunk.slice())
      controller.close()
      controller.byobRequest?.respond(0)
    },
    async cancel() {
      const takeBack = watch.breakIn?.(ALONE_MS)
      try {
        // oxlint-disable-next-line no-await-in-loop -- chunks come one after the other
        while (!(await read()).done);
      } catch {
        // Nobody is left to be told.
      }
      takeBack?.()
    },
  })
}
