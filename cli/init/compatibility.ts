import { Failure } from '../failure.ts'
import { NODEJS_DATE, OLDEST_DATE, PENDING_WORK_DATE } from '../wrangler/compatibility-dates.ts'
import { environmentNames, resolveEnvironment, type WranglerSettings } from '../wrangler/config.ts'
import type { ConfigEdit, ConfigPlan } from './edit.ts'
import { TESTED_DATE, type Toolchain } from './toolchain.ts'

/**
 * Decides on the compatibility date and flags. An existing date does not change: it could change what
 * the rest of the Worker does.
 *
 * @throws Failure When a date is too old, or when the API of Node.js is switched off.
 */
export function decideCompatibility(
  settings: WranglerSettings,
  { newestDate }: Toolchain,
): ConfigPlan {
  const hasDate = settings.compatibility_date !== undefined
  const date = settings.compatibility_date ?? (newestDate < TESTED_DATE ? newestDate : TESTED_DATE)
  const dated = { ...settings, compatibility_date: date }
  const needing = [undefined, ...environmentNames(settings)].filter((name) =>
    lacksNode(dated, name),
  )
  const targets = new Set(
    needing.map((name) => {
      const isOwn = name !== undefined && settings.env?.[name]?.compatibility_flags !== undefined
      return isOwn ? name : undefined
    }),
  )
  return {
    edits: [...(hasDate ? [] : [setDate(date)]), ...Array.from(targets, (name) => addFlag(name))],
    notes: hasDate && date < PENDING_WORK_DATE ? [toAliveNote(date)] : [],
  }
}

function lacksNode(settings: WranglerSettings, name: string | undefined): boolean {
  const resolved = resolveEnvironment(settings, name)
  const { compatibility_date: date = '', compatibility_flags: flags = [] } = resolved
  if (date < OLDEST_DATE) {
    throw new Failure(
      `The compatibility date ${date} is too old. Set it to ${OLDEST_DATE} or later, and test your Worker: https://developers.cloudflare.com/workers/configuration/compatibility-flags/`,
    )
  }
  if (flags.includes('no_nodejs_compat') || flags.includes('no_nodejs_compat_v2')) {
    throw new Failure(
      'A compatibility flag switches the API of Node.js off. Hapax needs node:buffer, node:crypto and node:zlib.',
    )
  }
  return date < NODEJS_DATE && !flags.some((flag) => /^nodejs_compat(?:_v2)?$/.test(flag))
}

const setDate = (date: string): ConfigEdit => ({
  kind: 'set',
  path: ['compatibility_date'],
  value: date,
  why: `Compatibility date ${date}: it was missing. This is the newest date that the installed runtime knows and that Hapax is tested with.`,
})

const addFlag = (name: string | undefined): ConfigEdit => ({
  kind: 'push',
  path: [...(name === undefined ? [] : ['env', name]), 'compatibility_flags'],
  value: 'nodejs_compat',
  why: `Compatibility flag nodejs_compat: Hapax uses node:buffer, node:crypto and node:zlib. From the date ${NODEJS_DATE} on, it is not needed.`,
})

const toAliveNote = (date: string) =>
  `The compatibility date stays ${date}. From ${PENDING_WORK_DATE} on, calls of service bindings, timers and waitUntil keep an object alive. If your origin is a service binding, raise the date when your Worker is ready for it.`
