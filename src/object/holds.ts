import type { BodyRef } from './pieces.ts'

/**
 * Stored answers that are being read or recorded, in this object's memory. They are not deleted, even
 * if their operation is forgotten. After a restart nothing is held.
 */
export class Holds {
  readonly #counts = new Map<string, number>()
  readonly #firsts = new Set<string>()
  readonly #left = new Set<string>()
  readonly #onLast: (ref: BodyRef) => void

  /** @param onLast Called when the last reader has released a body that is to be deleted. */
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

  /** Notes that a body is to be deleted when nobody holds it any more. */
  leave(ref: BodyRef): void {
    this.#left.add(nameOf(ref))
  }

  /** @returns Releases it; only the first call counts. */
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

  /** The operations whose own client reads the body. */
  listFirsts(): string[] {
    return Array.from(this.#firsts, (name) => name.slice(0, name.indexOf('/')))
  }

  forgetFirst(ref: BodyRef): void {
    this.#firsts.delete(nameOf(ref))
  }
}

const nameOf = ({ operationId, body }: BodyRef) => `${operationId}/${body}`
