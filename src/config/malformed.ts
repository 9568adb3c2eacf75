import { previousOf, WEBHOOK_SECRET } from '../core/event/destination.ts'
import { isWebhookSecret } from '../core/event/webhook.ts'
import { parseHost } from '../core/request/host.ts'
import { parseClaimTokens } from './claim-tokens.ts'
import { isOriginUrl, ORIGIN_URL } from './origins.ts'

/** What a secret or variable must be where it is set, as those who use it need it. */
interface Form {
  readonly names: readonly string[]
  readonly must: string
  readonly isMet: (value: string) => boolean
}

/** Of secrets that sign webhooks. */
const SIGNER = { must: 'be whsec_ and at least 24 bytes in Base64', isMet: isWebhookSecret }

const FORMS: readonly Form[] = [
  {
    // No Authorization header could bear it.
    names: ['HAPAX_ADMIN_TOKEN', 'HAPAX_ADMIN_TOKEN_PREVIOUS', 'HAPAX_METRICS_TOKEN'],
    must: 'be a text without blanks and line breaks',
    isMet: (value) => /^\S+$/.test(value),
  },
  {
    names: ['HAPAX_CLAIMS_TOKEN', 'HAPAX_CLAIMS_TOKEN_PREVIOUS'],
    must: 'be a text without blanks and line breaks, or JSON with another such text for each tenant',
    isMet: (value) => parseClaimTokens(value) !== null,
  },
  {
    names: [
      'HAPAX_DIGEST_KEY',
      'HAPAX_SEAL_KEY',
      'HAPAX_SEAL_KEY_PREVIOUS',
      'HAPAX_ACCESS_AUD',
      'CLOUDFLARE_ACCOUNT_ID',
      'CLOUDFLARE_API_TOKEN',
    ],
    must: 'be a text',
    isMet: () => true,
  },
  {
    names: ['HAPAX_ACCESS_TEAM'],
    must: 'be the name that stands before .cloudflareaccess.com, without it',
    isMet: (value) => /^[a-z\d-]+$/i.test(value),
  },
  {
    names: ['ORIGIN_URL', 'HAPAX_ANALYTICS_URL', 'HAPAX_POINTS_URL'],
    must: 'be an http or https URL',
    isMet: (value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol),
  },
  {
    names: ['HAPAX_OPERATORS_HOST'],
    must: 'be a host alone, such as ops.example.com',
    isMet: (value) => parseHost(value) !== null,
  },
  {
    names: ['HAPAX_LOG_ERRORS'],
    must: 'be true or false',
    isMet: (value) => /^(?:true|false)$/.test(value),
  },
  {
    names: ['HAPAX_DATASET'],
    must: 'be the name of a dataset: letters, digits, _ and -',
    isMet: (value) => /^[\w-]+$/.test(value),
  },
]

/** Of no use, or not of the use that one would think, without the other. */
const NEEDS: readonly (readonly [string, string])[] = [
  ['HAPAX_ACCESS_TEAM', 'HAPAX_ACCESS_AUD'],
  ['HAPAX_ACCESS_AUD', 'HAPAX_ACCESS_TEAM'],
  ['CLOUDFLARE_ACCOUNT_ID', 'CLOUDFLARE_API_TOKEN'],
  ['CLOUDFLARE_API_TOKEN', 'CLOUDFLARE_ACCOUNT_ID'],
  ['HAPAX_ADMIN_TOKEN_PREVIOUS', 'HAPAX_ADMIN_TOKEN'],
  ['HAPAX_SEAL_KEY_PREVIOUS', 'HAPAX_SEAL_KEY'],
  ['HAPAX_CLAIMS_TOKEN_PREVIOUS', 'HAPAX_CLAIMS_TOKEN'],
]

/**
 * Says which secrets and variables cannot be what they are set for, and what they must be; never their
 * values.
 *
 * @param env Bindings and variables of a deployment.
 * @param signers Names of further secrets that sign webhooks.
 * @param origins Names of variables that have the URL of an origin.
 */
export function listMalformed(
  env: object,
  signers: Iterable<string> = [],
  origins: readonly string[] = [],
): string[] {
  const pairs = [...new Set([WEBHOOK_SECRET, ...signers])].map(
    (name) => [previousOf(name), name] as const,
  )
  // A service binding takes the place of the URL.
  const valueOf = (name: string): unknown =>
    name === 'ORIGIN_URL' && Reflect.get(env, 'ORIGIN') !== undefined ? '' : Reflect.get(env, name)
  const named = [
    { ...SIGNER, names: pairs.flat() },
    { must: `be ${ORIGIN_URL}`, isMet: isOriginUrl, names: origins },
  ]
  const malformed = [...named, ...FORMS].flatMap(({ names, must, isMet }) =>
    names
      .filter((name) => valueOf(name) && !isText(valueOf(name), isMet))
      .map((name) => `${name} must ${must}.`),
  )
  const alone = [...NEEDS, ...pairs].filter(([name, other]) => valueOf(name) && !valueOf(other))
  return [...malformed, ...alone.map(([name, other]) => `${name} is set without ${other}.`)]
}

const isText = (value: unknown, isMet: Form['isMet']) => typeof value === 'string' && isMet(value)
