/**
 * The bindings and variables of a deployment: those of `wrangler.toml`, and those that a
 * deployment may add.
 */
export interface HapaxEnv extends Env {
  /** A service binding to the origin; where it is there, `ORIGIN_URL` is not used. */
  readonly ORIGIN?: Fetcher
  /** Secret under which every digest is made. Changing it forgets every operation. */
  readonly HAPAX_DIGEST_KEY?: string
  /** Secret under which stored requests are sealed. */
  readonly HAPAX_SEAL_KEY?: string
}
