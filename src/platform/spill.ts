import { ConfigurationFault } from '../config/configuration-fault.ts'

/**
 * Finds the bucket to which large bodies spill. Its keys say nothing of tenant or key.
 *
 * @throws {ConfigurationFault} When the deployment has none.
 */
export function requireSpill(bucket: R2Bucket | undefined): R2Bucket {
  if (typeof bucket?.put !== 'function') {
    throw new ConfigurationFault(
      'A route with snapshot.spill needs an R2 bucket bound as SNAPSHOTS.',
    )
  }
  return bucket
}

/**
 * Reads a piece of a stored body from the bucket.
 *
 * @throws {Error} When the bucket is not bound, or the piece is not in it any more.
 */
export async function readSpilled(
  bucket: R2Bucket | undefined,
  spillKey: string,
): Promise<Uint8Array<ArrayBuffer>> {
  if (bucket === undefined) throw new Error('A stored body is in a bucket that is not bound.')
  const object = await bucket.get(spillKey)
  if (object === null) throw new Error('A piece of a stored body is gone from its bucket.')
  return new Uint8Array(await object.arrayBuffer())
}
