import { err, ok, type Result } from '../result.ts'
import { type AuthParameter, parseAuthParameters, parseSignatureInput } from './auth-parameters.ts'

/**
 * Reads the parts of a credential that are the same in every request of its bearer. They identify the
 * tenant.
 *
 * The value counts as it is, the name of its scheme in any case. If the scheme signs each request or
 * answers a challenge, only the part counts that names the bearer (the user of Digest, the access key
 * of AWS, the key of an HTTP signature). This part is no secret, and nothing is verified here.
 *
 * @param header Name of the field, in any case.
 * @returns The parts, `null` if there is no credential, or a remedy that quotes no part of the value.
 */
export function readCredential(
  header: string,
  value: string,
): Result<readonly string[] | null, string> {
  const text = value.trim()
  if (text === '') return ok(null)
  if (header.toLowerCase() === 'signature-input') return readSignatureInput(text)
  const split = splitScheme(text, /(?:^|-)authorization$/i.test(header))
  if (CHANGING.test(split.scheme)) return err(changes(split.scheme))
  return split.rest === '' ? ok(null) : readValue(split)
}

/** Says why a header cannot identify a caller, and what can. @returns `null` if it can. */
export function explainHeader(
  header: string,
  resolver: 'credential' | 'fromHeader' = 'credential',
): string | null {
  const call = `${resolver}('${header}')`
  if (/^cookie2?$/i.test(header)) {
    return `${call} would be another tenant with every cookie that changes. Name the one that counts: cookie('session').`
  }
  if (!NEVER_STAYS.test(header)) return null
  const better =
    "claim('sub') with authenticate, credential('Authorization') or credential('Signature-Input')"
  return `${call} would be another tenant with every request: its value never stays. Use what does, such as ${better}.`
}

const NEVER_STAYS =
  /^(?:set-cookie|dpop|date|x-amz-date|(?:content-|repr-)?digest|content-md5|traceparent|tracestate|baggage|idempotency-attempt|.*idempotency-key|.*request-id|.*correlation-id|(?:.*-)?(?:signature|sign|sig|hmac|nonce|timestamp)(?:-(?:\d+|sha-?\d+|ed25519))?)$/i

/** Reads one cookie. @returns `null` if there is none, or two that differ. */
export function readCookie(field: string, name: string): string | null {
  // Two fields come joined by a comma and a blank, which no cookie may hold (RFC 6265 §4.1.1).
  const pairs = field.split(/;|,\s/).map((pair) => pair.trim())
  const values = pairs.flatMap((pair) =>
    pair.startsWith(`${name}=`) ? [pair.slice(name.length + 1)] : [],
  )
  const [value = '', ...others] = new Set(values)
  return value === '' || others.length > 0 ? null : value
}

const words = (text: string) => text.trim().split(/\s+/)

/** Spelling of schemes; all others are written in lower case. */
const SPELLINGS: ReadonlyMap<string, string> = new Map(
  words(`
    Bearer Basic Token ApiKey Api-Key Key DPoP GNAP OAuth Digest AWS MAC Hawk HMAC vapid Concealed
    Negotiate NTLM Kerberos HOBA Mutual PrivateToken Payment PoP Nostr SAPISIDHASH
  `).map((name) => [name.toLowerCase(), name]),
)

/** Schemes whose whole value changes with every request or connection. */
const CHANGING =
  /^(?:negotiate|ntlm|kerberos|hoba|mutual|privatetoken|payment|pop|nostr|sapisidhash|scram-.*)$/

/** Schemes whose whole value is the secret. */
const SECRET = new Set(words('bearer basic dpop gnap'))

/** Schemes that are named after their signature: refused without a part that stays. */
const SIGNING = /hmac|(?:^|[^a-z])(?:sha-?\d|ecdsa|rsa)|signature|sharedkey/

/** Schemes that are written `id:signature`. */
const PAIRED = new Set(words('aws oss obs cos bos goog1 qbox qiniu ucloud mws kss acs amx apiauth'))

/** Written in one piece: scheme, access key, time and signature. */
const IN_ONE = /^(bce-auth-v\d)\/([^/]+)\//i

/** Which parameters of a scheme name the bearer. */
interface Naming {
  /** One of each group must be there, and no more than one. */
  readonly needs: readonly (readonly string[])[]
  readonly may?: readonly string[]
}

const NAMINGS: ReadonlyMap<string, Naming> = new Map<string, Naming>([
  ['digest', { needs: [['username', 'username*']], may: ['realm'] }],
  ['signature', { needs: [['keyid']] }],
  ['hawk', { needs: [['id']] }],
  ['mac', { needs: [['id', 'kid']] }],
  ['eg1-hmac-sha256', { needs: [['clienttoken'], ['accesstoken']] }],
  ['vapid', { needs: [['k']] }],
  ['concealed', { needs: [['k']], may: ['a'] }],
])

/** OAuth 1.0 with a signature (RFC 5849 §3.1). A token without one is opaque. */
const OAUTH: Naming = { needs: [['oauthconsumerkey']], may: ['oauthtoken'] }

/** Usual names of parameters that change with each request. */
const ANEW: ReadonlySet<string> = new Set(
  words(`
    response nc nonce cnonce snonce noncestr oauthnonce signature oauthsignature qsignature sig sign
    mac hmac ts timestamp oauthtimestamp signtime qsigntime date created proof
  `),
)

/** Usual names of parameters that name the bearer. In an unknown scheme all of them count. */
const NAMES: ReadonlySet<string> = new Set(
  words(`
    username username* user userid uid id keyid kid key apikey appkey clientkey publickey
    consumerkey oauthconsumerkey token accesstoken clienttoken oauthtoken app appid client clientid
    account accountid accessid access accesskey accesskeyid awsaccesskeyid ak qak credential
    merchant merchantid mchid skn sr secret password
  `),
)

interface Split {
  /** In lower case; empty where there is none. */
  readonly scheme: string
  readonly rest: string
}

/** @param isField Whether the field begins with a scheme (RFC 9110 §11.6.2). */
function splitScheme(text: string, isField: boolean): Split {
  const found = /^([\w!#$%&'*+.^`|~-]+)\s+(.+)$/s.exec(text)
  const [, name = text, rest = ''] = found ?? []
  const scheme = name.toLowerCase()
  const isScheme =
    found === null
      ? isField && (SPELLINGS.has(scheme) || CHANGING.test(scheme))
      : isField || isKnown(scheme) || isMadeAnew(parseList(rest))
  // In a header of its own a key may hold a blank, and nothing before it is a name.
  return isScheme ? { scheme, rest } : { scheme: '', rest: text }
}

const isKnown = (scheme: string) =>
  SPELLINGS.has(scheme) || NAMINGS.has(scheme) || CHANGING.test(scheme) || isSigning(scheme)

const isSigning = (scheme: string) => SIGNING.test(scheme) || PAIRED.has(scheme)

type Parameters = readonly AuthParameter[] | null

const isMadeAnew = (parameters: Parameters) =>
  parameters !== null && parameters.some(({ name }) => ANEW.has(name))

function parseList(text: string): Parameters {
  // A token with its padding (token68) is no parameter.
  return /^[\w.~+/-]+=*$/.test(text) ? null : parseAuthParameters(text)
}

function readValue({ scheme, rest }: Split): Result<readonly string[], string> {
  const parameters = parseList(rest)
  const naming = namingOf(scheme, parameters)
  if (naming === null) return ok(readOpaque(scheme, rest))
  return parameters === null ? readPair(scheme, rest) : readNamed(scheme, parameters, naming)
}

/** @returns `null` if the value counts as it is, `by-name` if the scheme is unknown. */
function namingOf(scheme: string, parameters: Parameters): Naming | 'by-name' | null {
  if (SECRET.has(scheme)) return null
  const naming = NAMINGS.get(scheme)
  if (naming !== undefined) return naming
  if (scheme === 'oauth') return isMadeAnew(parameters) ? OAUTH : null
  return isSigning(scheme) || isMadeAnew(parameters) ? 'by-name' : null
}

function readOpaque(scheme: string, text: string): readonly string[] {
  if (scheme !== '') return [`${SPELLINGS.get(scheme) ?? scheme} ${text}`]
  const [, name, accessKey] = IN_ONE.exec(text) ?? []
  return name === undefined || accessKey === undefined
    ? [text]
    : [name.toLowerCase(), 'id', accessKey]
}

function readPair(scheme: string, text: string): Result<readonly string[], string> {
  const [, id] = /^([^:\s=]+):./s.exec(text) ?? []
  return id === undefined || !isSigning(scheme) ? err(changes(scheme)) : ok([scheme, 'id', id])
}

function readNamed(
  scheme: string,
  parameters: readonly AuthParameter[],
  naming: Naming | 'by-name',
): Result<readonly string[], string> {
  const pick = (names: Pick<ReadonlySet<string>, 'has'>) =>
    parameters.filter(({ name }) => names.has(name))
  const groups = naming === 'by-name' ? [] : naming.needs.map((names) => pick(new Set(names)))
  const others = pick(naming === 'by-name' ? NAMES : new Set(naming.may))
  const found = [...groups.flat(), ...others]
  if (isEmpty(found) || groups.some(isEmpty)) return err(changes(scheme))
  const isTwice = new Set(found.map(({ name }) => name)).size < found.length
  if (isTwice || groups.some(({ length }) => length > 1)) return err(TWICE)
  const sorted = found.toSorted((one, other) => (one.name < other.name ? -1 : 1))
  return ok([scheme, ...sorted.flatMap(({ name, value }) => [name, toStable(name, value)])])
}

const isEmpty = (found: readonly AuthParameter[]) => found.every(({ value }) => value === '')

/** Of a scope of AWS (`AKID/20261128/eu-central-1/s3/aws4_request`) only the access key stays. */
function toStable(name: string, value: string): string {
  const [first = '', second = ''] = value.split('/', 2)
  const isScope = name === 'credential' && /^\d{4}-?\d\d-?\d\d(?:T[\d:]*Z)?$/i.test(second)
  return isScope ? first : value
}

function readSignatureInput(text: string): Result<readonly string[], string> {
  const parameters = parseSignatureInput(text) ?? []
  const keyIds = parameters.flatMap(({ name, value }) => (name === 'keyid' ? [value] : []))
  const [keyId = '', ...others] = new Set(keyIds)
  if (others.length > 0) return err(TWICE)
  return keyId === '' ? err(changes('')) : ok(['signature-input', 'keyid', keyId])
}

const REMEDY =
  'The operator of this gateway can tell callers apart by what stays: by a verified claim (authenticate with claim), by a header of a trusted proxy (fromHeader), or by a resolver of their own.'

const TWICE = `The credentials name two callers, so they do not tell whose the request is. ${REMEDY}`

function changes(scheme: string): string {
  const name = scheme.startsWith('scram-') ? 'SCRAM' : SPELLINGS.get(scheme)
  const what = name === undefined ? 'These credentials' : `Credentials of the scheme ${name}`
  return `${what} are made anew for each request, and no part that stays names their owner: they cannot tell whose a retry is. ${REMEDY}`
}
