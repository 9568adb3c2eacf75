/**
 * The bindings and variables of a deployment: those of `wrangler.toml`, and those that a
 * deployment may add.
 */
export interface HapaxEnv extends Env {
  /** A service binding to the origin; where it is there, `ORIGIN_URL` is not used. */
  readonly ORIGIN?: Fetcher
  /** Bucket to which large snapshots spill, where a route says so. */
  readonly SNAPSHOTS?: R2Bucket
  /** Secret under which every digest is made. Changing it forgets every operation. */
  readonly HAPAX_DIGEST_KEY?: string
  /** Secret under which snapshots, where the route says so, and stored requests are sealed. */
  readonly HAPAX_SEAL_KEY?: string
  /** The secret before the last rotation: opens what was sealed under it, seals nothing. */
  readonly HAPAX_SEAL_KEY_PREVIOUS?: string
  /** Secret that signs webhooks: `whsec_` and Base64 (Standard Webhooks). */
  readonly HAPAX_WEBHOOK_SECRET?: string
  /** The secret before the last rotation: signs as well, until every receiver knows the new one. */
  readonly HAPAX_WEBHOOK_SECRET_PREVIOUS?: string
}
