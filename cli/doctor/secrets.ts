import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'

import { parseClaimTokens } from '../../src/config/claim-tokens.ts'
import { listMalformed } from '../../src/config/malformed.ts'
import { reasonOf } from '../failure.ts'
import { lineOfValue } from '../wrangler/lines.ts'
import { ownPath, toRemove } from './change.ts'
import type { Change, Finding, Unchecked } from './finding.ts'
import type { Project } from './project.ts'
import type { Place, SourceFacts } from './source.ts'

const RANDOM = 'openssl rand -base64 33 | npx wrangler secret put'
const PATIENCE_MS = 30_000
const MIN_LENGTH = 32

/** Secrets that are random texts. The ones that sign webhooks have a form of their own. */
const RANDOM_SECRETS = [
  'HAPAX_DIGEST_KEY',
  'HAPAX_SEAL_KEY',
  'HAPAX_SEAL_KEY_PREVIOUS',
  'HAPAX_ADMIN_TOKEN',
  'HAPAX_ADMIN_TOKEN_PREVIOUS',
  'HAPAX_METRICS_TOKEN',
  'HAPAX_CLAIMS_TOKEN',
  'HAPAX_CLAIMS_TOKEN_PREVIOUS',
]
const isSecret = (name: string) =>
  RANDOM_SECRETS.includes(name) ||
  name === 'CLOUDFLARE_API_TOKEN' ||
  /^[A-Z\d_]*WEBHOOK_SECRET(_PREVIOUS)?$/.test(name)

/** Names of secrets that are known to be set, and where. */
export interface KnownSecrets {
  readonly names: ReadonlySet<string>
  /** Of the deployment itself, and not only of the file for local servers. */
  readonly isDeployed: boolean
}

/** Returns the names that the configuration and the file for local servers set. */
export function localSecrets({ local, settings }: Project): KnownSecrets {
  const set = Object.entries({ ...settings.vars, ...local.values }).filter(([, value]) => value)
  return { names: new Set(set.map(([name]) => name)), isDeployed: false }
}

/** Checks the form of secrets, and that those are set which the sources need. Reports no value. */
export function checkSecrets(project: Project, known: KnownSecrets): Finding[] {
  return [
    ...checkVariables(project),
    ...checkForm(project),
    ...checkLength(project),
    ...checkListed(project),
    ...checkNeeded(project, known),
    ...checkDigestKey(project, known),
  ]
}

function checkVariables(project: Project): Finding[] {
  const { config, settings } = project
  return Object.keys(settings.vars ?? {})
    .filter(isSecret)
    .map((name) => ({
      rule: 'secret-in-vars',
      severity: 'error',
      what: `The secret ${name} is in vars.`,
      why: `Everybody who can read the repository or the dashboard can read it. Remove the line, replace the secret, and set it with: ${toPut(name)}`,
      change: toRemove(config, ownPath(project, ['vars', name])),
    }))
}

function checkForm(project: Project): Finding[] {
  const { settings, local } = project
  const texts = Object.entries({ ...settings.vars, ...local.values })
  const env = Object.fromEntries(texts.filter(([, value]) => typeof value === 'string'))
  const signers = texts.map(([name]) => name).filter((name) => name.endsWith('WEBHOOK_SECRET'))
  const bound = settings.services?.some(({ binding }) => binding === 'ORIGIN') ? { ORIGIN: {} } : {}
  return listMalformed({ ...env, ...bound }, signers).map((what) => ({
    rule: 'variable-malformed',
    severity: 'error',
    what,
    why: 'The gateway rejects requests that need this value with gateway-misconfigured.',
    ...placeOf(project, what.split(' ', 1)[0] ?? ''),
  }))
}

/** Where a variable is set. The line to write contains a placeholder, never the value. */
function placeOf(project: Project, name: string): { readonly change?: Change } {
  const { config, local } = project
  const text = `${name}="…"`
  const line = local.text
    .split('\n')
    .findIndex((one) => one.replace(/^export\s+/, '').startsWith(`${name}=`))
  if (local.file !== null && line !== -1) {
    return { change: { file: local.file, line: line + 1, how: 'replace', text } }
  }
  const target = ownPath(project, ['vars', name])
  const inConfig = lineOfValue(config, target)
  if (inConfig === null) return {}
  const written = config.format === 'toml' ? `${name} = "…"` : `"${name}": "…"`
  return {
    change: { file: path.basename(config.file), line: inConfig, how: 'replace', text: written },
  }
}

function checkLength(project: Project): Finding[] {
  return RANDOM_SECRETS.filter((name) => {
    const value = project.local.values[name]
    return value !== undefined && value !== '' && lengthOf(name, value) < MIN_LENGTH
  }).map((name) => ({
    rule: 'secret-short',
    severity: 'warning',
    what: `${name} has fewer than ${MIN_LENGTH} characters.`,
    why: `It can be guessed. Use one of at least ${MIN_LENGTH} random characters in a deployment: ${RANDOM} ${name}`,
    ...placeOf(project, name),
  }))
}

/** Of several tokens, the shortest counts. */
function lengthOf(name: string, value: string): number {
  const tokens = name.startsWith('HAPAX_CLAIMS_TOKEN') ? parseClaimTokens(value) : null
  return Math.min(...(tokens?.map(({ token }) => token.length) ?? [value.length]))
}

function checkListed({ settings, local }: Project): Finding[] {
  const required = settings.secrets?.required
  if (required === undefined) return []
  const dropped = Object.keys(local.values).filter(
    (name) => isSecret(name) && !required.includes(name),
  )
  return dropped.map((name) => ({
    rule: 'secret-not-listed',
    severity: 'warning',
    what: `${name} is set in ${local.file} but is not in secrets.required.`,
    why: 'If secrets.required exists, wrangler dev reads only the names in it.',
  }))
}

/** What the sources need a secret for, and where. */
interface Need {
  readonly name: string
  readonly severity: Finding['severity']
  readonly why: string
  readonly places: readonly Place[]
}

function checkNeeded({ source }: Project, known: KnownSecrets): Finding[] {
  const needs = source === null ? [] : needsOf(source)
  const missing = needs.filter(({ name, places }) => places.length > 0 && !known.names.has(name))
  return missing.map(({ name, why, severity, places }) => ({
    rule: 'secret-missing',
    severity: known.isDeployed ? severity : 'warning',
    what: `${name} is not set${known.isDeployed ? '' : ' in .dev.vars'}. It is needed by ${places.map(toText).join(', ')}.`,
    why: `${why} Set it with: ${toPut(name)}`,
  }))
}

function needsOf({ options, calls }: SourceFacts): Need[] {
  const where = (name: string) =>
    options.filter((option) => option.name === name && option.value === true)
  const named = calls.filter(({ callee, text }) => callee === 'secret' && text !== null)
  const names = [...new Set(named.map(({ text }) => text ?? ''))]
  return [
    {
      name: 'HAPAX_SEAL_KEY',
      severity: 'error',
      why: 'A route with snapshot.seal fails with gateway-misconfigured without it.',
      places: where('seal'),
    },
    {
      name: 'HAPAX_SEAL_KEY',
      severity: 'warning',
      why: 'A route with durable stores requests, including their credentials, in clear text without it.',
      places: where('durable'),
    },
    ...names.map((name): Need => ({
      name,
      severity: 'error',
      why: 'Requests that need it fail with gateway-misconfigured.',
      places: named.filter(({ text }) => text === name),
    })),
  ]
}

/** The command that sets a secret. The value of one that Hapax does not know comes from somebody else. */
const toPut = (name: string) =>
  RANDOM_SECRETS.includes(name) ? `${RANDOM} ${name}` : `npx wrangler secret put ${name}`

const toText = ({ file, line }: Place) => `${file}:${line}`

function checkDigestKey({ source }: Project, known: KnownSecrets): Finding[] {
  if (known.names.has('HAPAX_DIGEST_KEY') || source === null) return []
  return [
    {
      rule: 'digest-key-missing',
      severity: known.isDeployed ? 'warning' : 'note',
      what: `HAPAX_DIGEST_KEY is not set${known.isDeployed ? '' : ' in .dev.vars'}.`,
      why: `Keys and tenants are then stored as plain SHA-256, so someone who reads the storage can try out guesses. Set it before the first request, because a change forgets every operation: ${RANDOM} HAPAX_DIGEST_KEY`,
    },
  ]
}

const run = promisify(execFile)

/** Asks Cloudflare for the names of the secrets, with the Wrangler of the project. */
export async function deployedSecrets({
  directory,
  environment,
  tools,
}: Project): Promise<KnownSecrets | Unchecked> {
  const { wrangler } = tools
  if (wrangler === null) return unchecked('Wrangler is not installed in the project.')
  const named = environment === undefined ? [] : ['--env', environment]
  const args = [wrangler, 'secret', 'list', '--format', 'json', ...named]
  try {
    const { stdout } = await run(process.execPath, args, { cwd: directory, timeout: PATIENCE_MS })
    const list = JSON.parse(stdout) as { name: string }[]
    return { names: new Set(list.map(({ name }) => name)), isDeployed: true }
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : ''
    const [first] = (said || reasonOf(error)).split('\n')
    return unchecked(`wrangler secret list failed: ${first}`)
  }
}

const unchecked = (reason: string): Unchecked => ({ check: 'deployed-secrets', reason })
