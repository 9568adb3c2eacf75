import { ConfigurationFault } from '../config/configuration-fault.ts'

/** The bucket to which large bodies spill. Its keys say nothing of tenant or key. */
export class Spill {
  readonly #bucket: R2Bucket

  constructor(bucket: R2Bucket) {
    this.#bucket = bucket
  }

  async put(spillKey: string, bytes: Uint8Array): Promise<void> {
    await this.#bucket.put(spillKey, bytes)
  }

  /** @throws {Error} When the bucket does not have it: somebody else has deleted it. */
  async get(spillKey: string): Promise<Uint8Array<ArrayBuffer>> {
    const object = await this.#bucket.get(spillKey)
    if (object === null) throw new Error('A piece of a stored body is gone from its bucket.')
    return new Uint8Array(await object.arrayBuffer())
  }

  async delete(spillKeys: readonly string[]): Promise<void> {
    await this.#bucket.delete([...spillKeys])
  }
}

/**
 * Finds the bucket of a deployment.
 *
 * @throws {ConfigurationFault} When there is none.
 */
export function requireSpill(bucket: R2Bucket | undefined): Spill {
  if (bucket === undefined) {
    throw new ConfigurationFault(
      'A route with snapshot.spill needs an R2 bucket bound as SNAPSHOTS.',
    )
  }
  return new Spill(bucket)
}
