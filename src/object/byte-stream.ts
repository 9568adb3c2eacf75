/**
 * How long a reader may take nothing before it counts as gone, in milliseconds; up to twice as long
 * until that is seen. The platform itself keeps an object for what it waits for no longer than that,
 * and a reader takes a piece of 1 MiB at a time: slower than 10 kbit/s is nobody.
 */
const IDLE_MS = 900_000

/** How the reading of a stream has ended: with its last byte, or its reader has left, or it broke off. */
export type ReadEnd = 'whole' | 'left'

/** What a stream reads from. */
export interface ByteSource {
  /** @returns The next bytes, or `null` behind the last ones. @throws When the rest is not to be had. */
  readonly next: () => Promise<Uint8Array | null>
  /** Called once, when nothing is read any more. */
  readonly end: (how: ReadEnd) => void
}

/** Makes a stream that reads as it is read, and always tells when that is over. */
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
