import { env } from 'cloudflare:workers'

/** The bucket that large answers spill to; optional in a deployment. */
export const { SNAPSHOTS } = env as unknown as { SNAPSHOTS: R2Bucket }

/** What lies in it. */
export const listKeys = async (): Promise<string[]> =>
  (await SNAPSHOTS.list()).objects.map(({ key }) => key)
