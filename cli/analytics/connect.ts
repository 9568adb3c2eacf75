import {
  type AnalyticsClient,
  type AnalyticsError,
  createAnalyticsClient,
  toApiUrl,
  LOCAL_ENGINE,
} from '../../src/analytics/client.ts'
import { toVisible } from '../../src/core/visible.ts'
import { Failure, reasonOf } from '../failure.ts'

type Environment = Readonly<Partial<Record<string, string>>>

const PERMISSION = 'Account · Account Analytics · Read'
const TOKENS = 'https://dash.cloudflare.com/profile/api-tokens'

/** Connects to the engine of the environment. @throws Failure if there is none. */
export function connect(environment: Environment): AnalyticsClient {
  const local = localUrlOf(environment)
  if (local !== null) {
    // The token of the cloud is for the cloud alone.
    const token = environment['HAPAX_ANALYTICS_TOKEN'] || LOCAL_ENGINE.token
    return createAnalyticsClient({ url: toApiUrl(localAccountOf(environment), local), token })
  }
  const token = need(environment, 'CLOUDFLARE_API_TOKEN', `a token with ${PERMISSION} (${TOKENS})`)
  const account = need(environment, 'CLOUDFLARE_ACCOUNT_ID', 'the account id of the deployment')
  return createAnalyticsClient({ url: toApiUrl(account), token })
}

function localUrlOf({ HAPAX_ANALYTICS_URL: url }: Environment): string | null {
  if (!url) return null
  if (/^https?:/i.test(url) && URL.canParse(url)) return url
  throw new Failure('HAPAX_ANALYTICS_URL must be a URL such as http://127.0.0.1:8789.', 2)
}

const localAccountOf = ({ HAPAX_ANALYTICS_ACCOUNT: account }: Environment) =>
  account || LOCAL_ENGINE.accountId

function need(environment: Environment, name: string, what: string): string {
  const value = environment[name]?.trim()
  if (value) return value
  throw new Failure(
    `${name} is not set: ${what}.\nFor a local engine, set HAPAX_ANALYTICS_URL instead.`,
    2,
  )
}

/** Explains an error of the engine, and what to do about it. */
export function toFailure(error: AnalyticsError, environment: Environment): Failure {
  const local = localUrlOf(environment)
  const where = local ?? "Cloudflare's API"
  const account =
    local === null ? environment['CLOUDFLARE_ACCOUNT_ID'] : localAccountOf(environment)
  const said = `(${toVisible(error.message)})`
  switch (error.kind) {
    case 'unauthorized':
      return new Failure(`${where} rejected this token ${said}.`)
    case 'forbidden':
      return new Failure(
        `This token cannot read the analytics of the account ${account} ${said}. Check the account, and that the token has the permission ${PERMISSION}.`,
      )
    case 'not-found':
      return new Failure(`${where} does not know the account ${account} ${said}.`)
    case 'no-data':
      return new Failure(`There is no data: this dataset is empty ${said}.`)
    case 'refused':
      return new Failure(`The query was rejected ${said}.`)
    case 'rate-limited':
      return new Failure(`${where} is rate limiting queries. Try again later ${said}.`)
    case 'unreachable':
      return new Failure(`${where} could not be reached: ${toVisible(reasonOf(error))}`)
    case 'failed':
      return new Failure(`${where} failed ${said}.`)
  }
}
