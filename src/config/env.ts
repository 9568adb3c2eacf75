import type { JurisdictionName, LocationHint } from '../core/operation/placement.ts'

/** The text of a secret or variable that the deployment names; `null` where it is not set, or no text. */
export function textOf(env: HapaxEnv, name: string): string | null {
  const value: unknown = Reflect.get(env, name)
  return typeof value === 'string' && value !== '' ? value : null
}

/**
 * A binding to objects, as far as it is used. `DurableObjectNamespace` of one class cannot stand for
 * that of another.
 */
export interface ObjectNamespace {
  getByName(name: string, options?: { readonly locationHint?: LocationHint }): object
  jurisdiction(jurisdiction: JurisdictionName): ObjectNamespace
}

/**
 * The bindings and variables of a deployment. They are listed here and not taken from the generated
 * `Env`: the package has to compile in a project with another one.
 */
export interface HapaxEnv {
  /** The objects of the class `IdempotencyObject`. */
  readonly OPERATIONS: ObjectNamespace
  /** The object of the class `DirectoryObject`, which lists what operators have to look at. */
  readonly DIRECTORY: ObjectNamespace
  /** The Analytics Engine dataset that gets one data point per request. */
  readonly METRICS: AnalyticsEngineDataset
  /** URL of the origin. A path in it is put before the path of every request. */
  readonly ORIGIN_URL?: string
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
  /** Secret that operators send as a bearer token to `/_hapax/admin`; without one there is no admin API. */
  readonly HAPAX_ADMIN_TOKEN?: string
  /** The token before the last rotation: lets operators in as well. */
  readonly HAPAX_ADMIN_TOKEN_PREVIOUS?: string
  /**
   * Secret that processes elsewhere send as a bearer token to `/_hapax/claims`: one for every tenant,
   * or JSON with one for each. Without it, there are no remote claims.
   */
  readonly HAPAX_CLAIMS_TOKEN?: string
  /** The tokens before the last rotation: accepted as well. */
  readonly HAPAX_CLAIMS_TOKEN_PREVIOUS?: string
  /** Name of the Cloudflare Access team whose users are operators: `<team>.cloudflareaccess.com`. */
  readonly HAPAX_ACCESS_TEAM?: string
  /** Audience tag of the Access application in front of `/_hapax/admin`. */
  readonly HAPAX_ACCESS_AUD?: string
  /**
   * The one host that has what is for operators (`/_hapax/admin`, `/_hapax/dashboard`,
   * `/_hapax/metrics`), and has nothing else; without it every host has both.
   */
  readonly HAPAX_OPERATORS_HOST?: string
  /** Secret for Prometheus' bearer token at `/_hapax/metrics`; without one there is none. */
  readonly HAPAX_METRICS_TOKEN?: string
  /** Account whose Analytics Engine is asked, and a token that may read it (Account Analytics: Read). */
  readonly CLOUDFLARE_ACCOUNT_ID?: string
  readonly CLOUDFLARE_API_TOKEN?: string
  /** Name of the dataset that `METRICS` writes to; `hapax` where it is absent. */
  readonly HAPAX_DATASET?: string
  /** URL of another engine with the same SQL API, for development. */
  readonly HAPAX_ANALYTICS_URL?: string
  /** URL that every data point is sent to as well, for development: the local binding drops them. */
  readonly HAPAX_POINTS_URL?: string
  /**
   * `true`: message and stack of every error that a handler throws are logged, also where no request
   * tells that this is a development server, as for messages of a queue. For `.dev.vars`.
   */
  readonly HAPAX_LOG_ERRORS?: string
  /** Pages and scripts of the dashboard. */
  readonly ASSETS?: Fetcher
}
