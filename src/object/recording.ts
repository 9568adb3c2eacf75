import { ALONE_MS } from '../core/wire/body.ts'
import { type PartStore, PIECE_BYTES } from './pieces.ts'
import { type ReadEnd, toByteStream } from './wire-body.ts'

/**
 * Passing on a small chunk costs far more than its content. After `MANY_CHUNKS` chunks of less than
 * `SMALL_BYTES` on average, a reader gets new bytes only every `GATHER_MS` milliseconds.
 */
const GATHER_MS = 2
const MANY_CHUNKS = 32
const SMALL_BYTES = 1_024

/** Initial size of the buffer for a piece that is still arriving. */
const FIRST_ROOM_BYTES = 4_096

/** Callbacks of a recording. */
export interface Surroundings {
  /** Called before the first piece is stored. @returns Called when nobody reads the stored pieces any more. */
  readonly hold?: () => () => void
  /** Called when nobody has read it for `aloneMs`: the rest is not waited for. */
  readonly giveUp?: () => void
  /** Milliseconds without a reader. */
  readonly aloneMs?: number
}

/**
 * A body that is recorded while it arrives. All clients, also the first one, read it from the
 * recording at their own pace. Older pieces are in rows, so a slow reader holds up neither memory nor
 * other readers nor the origin.
 */
export class Recording {
  readonly #store: PartStore
  readonly #giveUp: () => void
  readonly #aloneMs: number
  readonly #hold: () => () => void
  /** Lets the stored pieces go, where there are any. */
  #letGo: (() => void) | null = null
  /** Stored pieces; all are whole but one that `flush` has stored at the end. */
  #partCount = 0
  #storedBytes = 0
  /** What is not stored yet, with room for more. */
  #tail = new Uint8Array(FIRST_ROOM_BYTES)
  #tailBytes = 0
  #state: 'running' | 'over' | 'ended' | 'broken' = 'running'
  #passing: { readonly chunk: Uint8Array; readonly taken: PromiseWithResolvers<void> } | null = null
  #readerCount = 0
  #aloneTimer: ReturnType<typeof setTimeout> | undefined
  #isFirstGone = false
  #isCut = false
  #isGivenUp = false
  #changed = Promise.withResolvers<void>()
  /** When the readers of small chunks are given more. */
  #gathered: PromiseWithResolvers<void> | null = null

  constructor(store: PartStore, surroundings: Surroundings = {}) {
    const { hold = () => () => {}, giveUp = () => {}, aloneMs = ALONE_MS } = surroundings
    this.#store = store
    this.#hold = hold
    this.#giveUp = giveUp
    this.#aloneMs = aloneMs
  }

  /** Bytes recorded so far. */
  get bytes(): number {
    return this.#storedBytes + this.#tailBytes
  }

  /** Whether nobody has read it for too long, so that the rest is not waited for. */
  get isGivenUp(): boolean {
    return this.#isGivenUp
  }

  /** Resolves when the chunk is recorded, in memory or in a row. */
  async write(chunk: Uint8Array): Promise<void> {
    for (let offset = 0; offset < chunk.byteLength;) {
      const piece = chunk.subarray(offset, offset + PIECE_BYTES - this.#tailBytes)
      this.#append(piece)
      offset += piece.byteLength
      this.#wake()
      // oxlint-disable-next-line no-await-in-loop -- one piece after the other
      if (this.#tailBytes === PIECE_BYTES) await this.flush()
    }
  }

  #append(piece: Uint8Array): void {
    const bytes = this.#tailBytes + piece.byteLength
    if (bytes > this.#tail.byteLength) {
      const larger = new Uint8Array(
        Math.min(PIECE_BYTES, Math.max(bytes, 2 * this.#tail.byteLength)),
      )
      larger.set(this.#tail.subarray(0, this.#tailBytes))
      this.#tail = larger
    }
    this.#tail.set(piece, this.#tailBytes)
    this.#tailBytes = bytes
  }

  /** Passes on a chunk that is over the limit. Resolves when the first client has taken it, or is gone. */
  async pass(chunk: Uint8Array): Promise<void> {
    if (this.#state === 'running') this.#turn('over')
    this.#isCut = true
    if (chunk.byteLength === 0 || this.#isFirstGone) return this.#wake()
    const passing = { chunk, taken: Promise.withResolvers<void>() }
    this.#passing = passing
    this.#wake()
    await passing.taken.promise
  }

  /** The bytes that are not stored yet, and the number of their first piece, for the transaction that settles. */
  unstored(): { readonly firstPart: number; readonly bytes: Uint8Array } {
    return { firstPart: this.#partCount, bytes: this.#tail.slice(0, this.#tailBytes) }
  }

  /** Stores the rest before the settle. */
  async flush(): Promise<void> {
    if (this.#tailBytes === 0) return
    this.#letGo ??= this.#hold()
    await this.#store.write(this.#partCount, this.#tail.subarray(0, this.#tailBytes))
    this.#partCount += 1
    this.#storedBytes += this.#tailBytes
    this.#tailBytes = 0
  }

  /** Lets the readers come to their end. */
  end(): void {
    this.#close('ended')
  }

  /** Lets the readers see that the body broke off. */
  break(): void {
    this.#close('broken')
  }

  #close(state: 'ended' | 'broken'): void {
    clearTimeout(this.#aloneTimer)
    this.#turn(state)
    this.#wake()
    if (this.#readerCount === 0) this.#letGo?.()
  }

  #turn(state: 'over' | 'ended' | 'broken'): void {
    this.#state = state
    this.#gathered?.resolve()
  }

  /**
   * Opens the body for the client whose request made it.
   *
   * @param onEnd Called when the client has received all of it, or has left.
   */
  openFirst(onEnd: (how: ReadEnd) => void = () => {}): ReadableStream<Uint8Array> {
    return this.#open(
      () => this.#take(),
      (how) => {
        this.#isFirstGone = true
        this.#take()
        onEnd(how)
      },
    )
  }

  /** Opens the body for a duplicate. */
  openJoined(): ReadableStream<Uint8Array> {
    return this.#open(
      () => breakOff(),
      () => {},
    )
  }

  /** Opens the body from its beginning. */
  #open(
    takeOver: () => Uint8Array | null,
    onEnd: (how: ReadEnd) => void,
  ): ReadableStream<Uint8Array> {
    let cursor = 0
    let chunkCount = 0
    const isSmall = () => chunkCount > MANY_CHUNKS && cursor < chunkCount * SMALL_BYTES
    this.#readerCount += 1
    clearTimeout(this.#aloneTimer)
    return toByteStream({
      next: async () => {
        if (this.#state === 'running' && isSmall()) await this.#gather()
        const chunk = await this.#next(cursor, takeOver)
        cursor += chunk?.byteLength ?? 0
        chunkCount += 1
        return chunk
      },
      end: (how) => {
        this.#leave()
        onEnd(how)
      },
    })
  }

  #gather(): Promise<void> {
    if (this.#gathered === null) {
      const gathered = Promise.withResolvers<void>()
      this.#gathered = gathered
      setTimeout(() => {
        this.#gathered = null
        gathered.resolve()
      }, GATHER_MS)
    }
    return this.#gathered.promise
  }

  #leave(): void {
    this.#readerCount -= 1
    if (this.#readerCount > 0) return
    if (this.#state === 'ended' || this.#state === 'broken') return this.#letGo?.()
    this.#aloneTimer = setTimeout(() => {
      this.#isGivenUp = true
      this.#giveUp()
    }, this.#aloneMs)
  }

  /** @returns A copy of the bytes after the cursor, up to one piece, as soon as there are any. */
  async #next(cursor: number, takeOver: () => Uint8Array | null): Promise<Uint8Array | null> {
    for (;;) {
      // Read before the check, so that no write during an await is missed.
      const changed = this.#changed.promise
      // oxlint-disable-next-line no-await-in-loop -- one piece after the other
      if (cursor < this.#storedBytes) return await this.#readStored(cursor)
      if (cursor < this.bytes) {
        return this.#tail.slice(cursor - this.#storedBytes, this.#tailBytes)
      }
      const over = this.#state === 'over' ? takeOver() : null
      if (over !== null) return over
      if (this.#state === 'broken') return breakOff()
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

  async #readStored(cursor: number): Promise<Uint8Array> {
    const part = Math.floor(cursor / PIECE_BYTES)
    const bytes = await this.#store.read(part)
    if (bytes === null) throw new Error('A recorded piece is gone.')
    return bytes.slice(cursor - part * PIECE_BYTES)
  }

  #wake(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }
}

function breakOff(): never {
  throw new Error('The answer broke off.')
}
