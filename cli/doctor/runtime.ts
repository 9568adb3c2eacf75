import { isLoopback } from '../../src/core/request/loopback.ts'
import { NODEJS_DATE, OLDEST_DATE, PENDING_WORK_DATE } from '../wrangler/compatibility-dates.ts'
import type { ConfigPath } from '../wrangler/lines.ts'
import { inheritedPath, toSet } from './change.ts'
import type { Finding } from './finding.ts'
import { originUrlsOf } from './origin.ts'
import type { Project } from './project.ts'

const STRICTLY_PUBLIC = 'global_fetch_strictly_public'
const ISO_DATE = /^\d{4}-\d\d-\d\d$/

/** Checks the compatibility date and the compatibility flags. */
export function checkRuntime(project: Project): Finding[] {
  return [...checkDate(project), ...checkNodejs(project), ...checkStrictlyPublic(project)]
}

function checkDate(project: Project): Finding[] {
  const { config, settings, tools } = project
  const { compatibility_date: date } = settings
  const target = inheritedPath(project, ['compatibility_date'])
  const newest = tools.workerdDate ?? PENDING_WORK_DATE
  if (date === undefined || !ISO_DATE.test(date)) {
    return [
      {
        rule: 'compatibility-date-missing',
        severity: 'error',
        what: 'The compatibility date is missing.',
        why: 'Without it, the runtime behaves as in 2021, and Wrangler does not deploy.',
        change: toSet(config, target, newest),
      },
    ]
  }
  if (tools.workerdDate !== null && date > tools.workerdDate) {
    return [
      {
        rule: 'compatibility-date-newer',
        severity: 'warning',
        what: `The compatibility date ${date} is newer than the installed workerd (${tools.workerdDate}).`,
        why: 'A local server then does not start, or runs with an older date and does not prove how the deployment behaves. Update Wrangler, or use the older date.',
        change: toSet(config, target, tools.workerdDate),
      },
    ]
  }
  return date >= PENDING_WORK_DATE ? [] : [tooOld(date, newest, target, project)]
}

function tooOld(date: string, newest: string, target: ConfigPath, { config }: Project): Finding {
  const needed = newest < PENDING_WORK_DATE ? PENDING_WORK_DATE : newest
  const update = newest < PENDING_WORK_DATE ? ' Update Wrangler first: its workerd is older.' : ''
  const change = toSet(config, target, needed)
  if (date < OLDEST_DATE) {
    return {
      rule: 'compatibility-date-too-old',
      severity: 'error',
      what: `The compatibility date ${date} is before ${OLDEST_DATE}.`,
      why: `Before it, nodejs_compat lacks a part of node:crypto, node:buffer and node:zlib.${update}`,
      change,
    }
  }
  return {
    rule: 'compatibility-date-old',
    severity: 'warning',
    what: `The compatibility date ${date} is before ${PENDING_WORK_DATE}.`,
    why: `Only from this date on do service bindings, timers and waitUntil keep an object in memory. Before it, a long call to a bound origin can end as an unknown outcome.${update}`,
    change,
  }
}

function checkNodejs(project: Project): Finding[] {
  const { compatibility_date: date = '', compatibility_flags: flags = [] } = project.settings
  const isOn = flags.includes('nodejs_compat') || flags.includes('nodejs_compat_v2')
  const isOff = flags.includes('no_nodejs_compat') && flags.includes('no_nodejs_compat_v2')
  if (isOn || (date >= NODEJS_DATE && !isOff)) return []
  const kept = flags.filter((flag) => !/^no_nodejs_compat(_v2)?$/.test(flag))
  return [
    {
      rule: 'nodejs-compat-missing',
      severity: 'error',
      what: 'The flag nodejs_compat is missing.',
      why: `Hapax uses node:crypto, node:buffer and node:zlib. The flag is on by default from ${NODEJS_DATE} on.`,
      change: setFlags(project, [...kept, 'nodejs_compat']),
    },
  ]
}

const setFlags = (project: Project, flags: readonly string[]) =>
  toSet(project.config, inheritedPath(project, ['compatibility_flags']), flags)

/** Checks the flag that decides where a request to a host of the Worker's own zone goes. */
function checkStrictlyPublic(project: Project): Finding[] {
  const hosts = originUrlsOf(project)
    .map(({ hostname }) => hostname)
    .filter((host) => !isLoopback(host))
  if (hosts.length === 0) return []
  const { compatibility_flags: flags = [] } = project.settings
  const isOn = flags.includes(STRICTLY_PUBLIC)
  const own = hosts.find((host) => hostsOf(project).some((matches) => matches(host)))
  if (own !== undefined && isOn) {
    return [
      {
        rule: 'origin-loops',
        severity: 'error',
        what: `The origin ${own} is a host of this Worker, and the flag ${STRICTLY_PUBLIC} is on.`,
        why: 'With the flag, a request to this host comes back to this Worker instead of the server behind it.',
        change: setFlags(
          project,
          flags.filter((flag) => flag !== STRICTLY_PUBLIC),
        ),
      },
    ]
  }
  if (own !== undefined) {
    return [
      {
        rule: 'origin-same-host',
        severity: 'warning',
        what: `The origin ${own} is a host of this Worker.`,
        why: 'Objects and alarms send requests too, and how the platform routes these to the own host is not documented. Give the server a hostname that no route matches.',
      },
    ]
  }
  if (isOn) return []
  return [
    {
      rule: 'strictly-public-missing',
      severity: 'warning',
      what: `The flag ${STRICTLY_PUBLIC} is missing.`,
      why: 'Without it, a request to a host of the same zone goes to the server behind it and bypasses the Workers and security settings of that host.',
      change: setFlags(project, [...flags, STRICTLY_PUBLIC]),
    },
  ]
}

/** Tests for the hosts of the Worker's routes. A route of `example.com/*` also names a host. */
function hostsOf({ settings }: Project): ((host: string) => boolean)[] {
  const { routes, route } = settings as { routes?: unknown; route?: unknown }
  const patterns = [route ?? [], routes ?? []].flat().map((one: unknown) => {
    const pattern: unknown =
      typeof one === 'object' && one !== null ? Reflect.get(one, 'pattern') : one
    return String(pattern)
      .replace(/^https?:\/\//, '')
      .replace(/\/.*$/, '')
      .toLowerCase()
  })
  return patterns.map((pattern) => {
    if (!pattern.startsWith('*')) return (host) => host === pattern
    return (host) => host.endsWith(pattern.slice(1))
  })
}
