import { isLoopback } from '../../src/core/request/loopback.ts'
import { reasonOf } from '../failure.ts'
import { ownPath, toAppend, toSet } from './change.ts'
import type { Checked, Finding } from './finding.ts'
import type { Project } from './project.ts'
import type { SourceCall } from './source.ts'

const PATIENCE_MS = 5_000

/** An origin that is a URL. */
interface OriginUrl {
  /** The variable that has the URL; `null` if the sources write it out. */
  readonly variable: string | null
  /** The URL here: the file for local servers counts, unless an environment is checked. */
  readonly here: string
  /** The URL in a deployment. */
  readonly deployed: string
  /** Where the sources name it; `null` for the default origin. */
  readonly place: SourceCall | null
}

/** The origins of a deployment that are URLs. */
export function originUrlsOf(project: Project): URL[] {
  return urlsOf(project).flatMap(({ here }) => (URL.canParse(here) ? [new URL(here)] : []))
}

function urlsOf(project: Project): OriginUrl[] {
  const own = isBound(project, 'ORIGIN') ? [] : [toVariable(project, 'ORIGIN_URL', null)]
  const named = namedBy(project, 'url').map((call): OriginUrl => {
    const { text } = call
    const isWritten = text.includes(':')
    return isWritten
      ? { variable: null, here: text, deployed: text, place: call }
      : toVariable(project, text, call)
  })
  return [...own, ...named]
}

function toVariable(
  { settings, local, environment }: Project,
  variable: string,
  place: SourceCall | null,
): OriginUrl {
  const value = settings.vars?.[variable]
  const deployed = typeof value === 'string' ? value : ''
  // A named environment is deployed, so the file for local servers does not count for it.
  const here = (environment === undefined ? local.values[variable] : undefined) ?? deployed
  return { variable, here, deployed, place }
}

const isBound = ({ settings }: Project, name: string) =>
  settings.services?.some(({ binding }) => binding === name) === true

/** Checks that the configuration names the origins that the sources use. */
export function checkOrigins(project: Project): Finding[] {
  const urls = urlsOf(project).flatMap((url) => checkUrl(project, url))
  return [...urls, ...checkServices(project)]
}

function checkUrl(project: Project, { variable, here, deployed, place }: OriginUrl): Finding[] {
  const { environment } = project
  const change = toChange(project, { variable, place })
  if (here === '') {
    if (place === null && !forwards(project)) return []
    return [
      {
        rule: 'origin-missing',
        severity: 'error',
        what:
          place === null
            ? 'There is no origin: ORIGIN_URL is not set, and no service is bound as ORIGIN.'
            : `${variable} is not set. ${place.file}:${place.line} uses it as an origin.`,
        why: 'Requests for this origin fail with gateway-misconfigured. Set the URL of your API, or bind its Worker.',
        ...change,
      },
    ]
  }
  if (!URL.canParse(deployed) || !isLoopback(new URL(deployed).hostname)) return []
  return [
    {
      rule: 'origin-loopback',
      severity: environment === undefined ? 'warning' : 'error',
      what: `${variable ?? 'The origin'} is ${new URL(deployed).host}, which is this machine.`,
      why: 'A deployed Worker cannot reach it and answers 500 gateway-misconfigured. Keep the local URL in .dev.vars.',
      ...change,
    },
  ]
}

function toChange(project: Project, { variable, place }: Pick<OriginUrl, 'variable' | 'place'>) {
  const example = 'https://api.example.com'
  if (variable !== null) {
    return { change: toSet(project.config, ownPath(project, ['vars', variable]), example) }
  }
  if (place === null) return {}
  const { file, line } = place
  return { change: { file, line, how: 'replace', text: `url('${example}')` } as const }
}

/** Whether a route is forwarded to the default origin. */
function forwards({ source }: Project): boolean {
  const calls = source?.calls ?? []
  const hasOrigins = calls.some(({ callee }) => callee === 'url' || callee === 'service')
  const names = new Set(['createGateway', 'protect', 'forward'])
  return (
    !hasOrigins && calls.some(({ callee, inner }) => names.has(callee) || inner.includes('protect'))
  )
}

function checkServices(project: Project): Finding[] {
  const named = namedBy(project, 'service')
  const missing = named.filter(({ text }) => !isBound(project, text))
  return missing.map(({ text: binding, file, line }) => ({
    rule: 'service-missing',
    severity: 'error',
    what: `The service binding ${binding} is missing. ${file}:${line} uses it as an origin.`,
    why: 'Requests for this origin fail with gateway-misconfigured. Replace the name of the service with that of your Worker.',
    change: toAppend(project.config, ownPath(project, ['services']), {
      binding,
      service: binding.toLowerCase(),
    }),
  }))
}

const namedBy = ({ source }: Project, name: string) =>
  (source?.calls ?? []).flatMap((call: SourceCall) =>
    call.callee === name && call.text !== null ? [{ ...call, text: call.text }] : [],
  )

/** Asks each origin with a URL whether it answers. Sends no credentials and follows no redirect. */
export async function checkReachable(project: Project, ask = fetch): Promise<Checked> {
  const urls = originUrlsOf(project)
  if (urls.length === 0) return { check: 'origin-reachable', reason: 'No origin has a URL.' }
  const findings = await Promise.all(urls.map((url) => reach(url, ask)))
  return findings.flat()
}

async function reach(url: URL, ask: typeof fetch): Promise<Finding[]> {
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS)
    const answer = await ask(url, { method: 'HEAD', redirect: 'manual', signal })
    await answer.body?.cancel()
    return []
  } catch (error) {
    const isLocal = isLoopback(url.hostname)
    return [
      {
        rule: 'origin-unreachable',
        severity: isLocal ? 'note' : 'warning',
        what: `The origin ${url.origin} does not answer: ${reasonOf(error)}.`,
        why: isLocal
          ? 'Start it before you send requests through the gateway.'
          : 'It may answer only from elsewhere. If not, every first request gets 502 origin-unreachable.',
      },
    ]
  }
}
