import { logFault } from '../metrics/log.ts'
import { inTime } from '../platform/in-time.ts'

/** The time limit for a static asset, in milliseconds. */
const ASSET_MS = 10_000

/**
 * Fetches a static asset of the deployment.
 *
 * @returns `null` if the assets do not answer, which does not mean that the file is missing.
 */
export async function fetchAsset(assets: Fetcher, url: string): Promise<Response | null> {
  try {
    const found = await inTime(assets.fetch(new Request(url)), ASSET_MS)
    if (found.status < 500) return found
    throw new Error(`The assets answered ${found.status}.`)
  } catch (error) {
    logFault('a static asset could not be read', error)
    return null
  }
}
