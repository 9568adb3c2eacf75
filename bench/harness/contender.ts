/** A contender that runs. */
export interface Running {
  readonly url: string
  /** The processes whose CPU and memory count as the contender's. */
  readonly pids: readonly number[]
  /** How long it took until it answered, in milliseconds. */
  readonly readyMs: number
  readonly stop: () => Promise<void>
}

/** Something that answers the same requests as the others. */
export interface Contender {
  readonly name: string
  readonly start: (originUrl: string) => Promise<Running>
}
