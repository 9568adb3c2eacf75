import { concat } from '../core/body.ts'
import { PIECE_BYTES } from './record-store.ts'
import type { PartStore } from './sealer.ts'

/**
 * A body that is recorded while it comes. Every client reads it from the recording, the first one
 * too, each at its own pace: what is not in memory any more is in rows, so a slow reader holds
 * neither memory nor the other readers nor the origin.
 */
export class Recording {
  readonly #store: PartStore
  /** Behind each piece that is stored: how many bytes there are up to its end. */
  readonly #partEnds: number[] = []
  /** What is not stored yet. */
  #tail: Uint8Array[] = []
  #tailBytes = 0
  #state: 'running' | 'over' | 'ended' | 'broken' = 'running'
  #passing: { readonly chunk: Uint8Array; readonly taken: PromiseWithResolvers<void> } | null = null
  #isFirstGone = false
  #isCut = false
  #changed = Promise.withResolvers<void>()

  constructor(store: PartStore) {
    this.#store = store
  }

  /** Bytes recorded so far. */
  get bytes(): number {
    return this.#storedBytes + this.#tailBytes
  }

  /** Resolves when the chunk is recorded, in memory or in a row. */
  async write(chunk: Uint8Array): Promise<void> {
    for (let offset = 0; offset < chunk.byteLength;) {
      const piece = chunk.subarray(offset, offset + PIECE_BYTES - this.#tailBytes)
      this.#tail.push(piece)
      this.#tailBytes += piece.byteLength
      offset += piece.byteLength
      this.#wake()
      // oxlint-disable-next-line no-await-in-loop -- one piece after the other
      if (this.#tailBytes === PIECE_BYTES) await this.#flush()
    }
  }

  /** Passes a chunk over the limit on. Resolves when the first client has taken it, or is gone. */
  async pass(chunk: Uint8Array): Promise<void> {
    if (this.#state === 'running') this.#state = 'over'
    this.#isCut = true
    if (chunk.byteLength === 0 || this.#isFirstGone) return this.#wake()
    const passing = { chunk, taken: Promise.withResolvers<void>() }
    this.#passing = passing
    this.#wake()
    await passing.taken.promise
  }

  /** What is not stored yet, and the number of its first piece: for the transaction that settles. */
  unstored(): { readonly firstPart: number; readonly bytes: Uint8Array } {
    return { firstPart: this.#partEnds.length, bytes: concat(this.#tail) }
  }

  /** Lets the readers come to their end. */
  end(): void {
    this.#state = 'ended'
    this.#wake()
  }

  /** Lets the readers see that the body broke off. */
  break(): void {
    this.#state = 'broken'
    this.#wake()
  }

  /** Opens the body for the client whose request made it. */
  openFirst(): ReadableStream<Uint8Array> {
    const leave = () => {
      this.#isFirstGone = true
      this.#take()
    }
    return this.#open(() => this.#take(), leave)
  }

  /** Opens the body for a duplicate. */
  openJoined(): ReadableStream<Uint8Array> {
    return this.#open(
      () => 'broken',
      () => {},
    )
  }

  /** Opens the body from its beginning: what is there, then what comes. */
  #open(
    takeOver: () => Uint8Array | 'broken' | null,
    cancel: () => void,
  ): ReadableStream<Uint8Array> {
    let cursor = 0
    return new ReadableStream({
      type: 'bytes',
      cancel,
      pull: async (controller) => {
        const chunk = await this.#next(cursor, takeOver).catch((error: unknown) => {
          cancel()
          throw error
        })
        if (chunk === 'broken') return controller.error(new Error('The answer broke off.'))
        if (chunk !== null) {
          cursor += chunk.byteLength
          return controller.enqueue(chunk)
        }
        controller.close()
        controller.byobRequest?.respond(0)
      },
    })
  }

  /** @returns A copy of what stands at the cursor, as soon as there is something. */
  async #next(
    cursor: number,
    takeOver: () => Uint8Array | 'broken' | null,
  ): Promise<Uint8Array | 'broken' | null> {
    for (;;) {
      // Taken before the look: what is written while the look waits must not be missed.
      const changed = this.#changed.promise
      // oxlint-disable-next-line no-await-in-loop -- until there is a chunk
      const chunk = (await this.#at(cursor)) ?? (this.#state === 'over' ? takeOver() : null)
      if (chunk !== null) return chunk
      if (this.#state === 'broken') return 'broken'
      if (this.#state === 'ended') return this.#isCut ? takeOver() : null
      // oxlint-disable-next-line no-await-in-loop -- until the next chunk is there
      await changed
    }
  }

  #take(): Uint8Array | null {
    const passing = this.#passing
    this.#passing = null
    passing?.taken.resolve()
    return passing === null ? null : passing.chunk.slice()
  }

  async #at(cursor: number): Promise<Uint8Array | null> {
    if (cursor < this.#storedBytes) return this.#atStored(cursor)
    let start = this.#storedBytes
    for (const chunk of this.#tail) {
      if (cursor < start + chunk.byteLength) return chunk.slice(cursor - start)
      start += chunk.byteLength
    }
    return null
  }

  async #atStored(cursor: number): Promise<Uint8Array> {
    const part = this.#partEnds.findIndex((end) => cursor < end)
    const bytes = await this.#store.read(part)
    if (bytes === null) throw new Error('A recorded piece is gone.')
    return bytes.slice(cursor - (this.#partEnds[part - 1] ?? 0))
  }

  /** Stores what is not stored yet, before the settle. */
  async flush(): Promise<void> {
    if (this.#tailBytes > 0) await this.#flush()
  }

  async #flush(): Promise<void> {
    const { firstPart, bytes } = this.unstored()
    await this.#store.write(firstPart, bytes)
    this.#partEnds.push(this.bytes)
    this.#tail = []
    this.#tailBytes = 0
  }

  get #storedBytes(): number {
    return this.#partEnds.at(-1) ?? 0
  }

  #wake(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }
}
