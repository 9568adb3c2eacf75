import type { BodyRef } from './pieces.ts'

/**
 * Stored answers that somebody reads or records right now, in this object's memory: they stay where
 * they are, whatever becomes of their operation. After a restart nobody holds anything.
 */
export class Holds {
  readonly #counts = new Map<string, number>()
  readonly #firsts = new Set<string>()
  readonly #left = new Set<string>()
  readonly #onLast: (ref: BodyRef) => void

  /** @param onLast Called when the last one has let a body go that is to go. */
  constructor(onLast: (ref: BodyRef) => void) {
    this.#onLast = onLast
  }

  has(ref: BodyRef): boolean {
    return this.#counts.has(nameOf(ref))
  }

  /** Whether the client whose request made the body reads it. */
  hasFirst(ref: BodyRef): boolean {
    return this.#firsts.has(nameOf(ref))
  }

  /** Notes that a body is to go when nobody holds it any more. */
  leave(ref: BodyRef): void {
    this.#left.add(nameOf(ref))
  }

  /** @returns Lets it go; only the first call counts. */
  take(ref: BodyRef): () => void {
    const name = nameOf(ref)
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      const left = (this.#counts.get(name) ?? 0) - 1
      if (left > 0) return void this.#counts.set(name, left)
      this.#counts.delete(name)
      if (this.#left.delete(name)) this.#onLast(ref)
    }
  }

  /** Notes that the client whose request made the body reads it. */
  noteFirst(ref: BodyRef): void {
    this.#firsts.add(nameOf(ref))
  }

  forgetFirst(ref: BodyRef): void {
    this.#firsts.delete(nameOf(ref))
  }
}

const nameOf = ({ operationId, body }: BodyRef) => `${operationId}/${body}`
