import type { FileChange } from './files.ts'
import { lineBreakOf } from './splice.ts'

const FILE = '.dev.vars.example'

const INTRODUCTION = [
  '# Secrets for wrangler dev. Copy this file to .dev.vars, and do not commit the copy.',
  '# To make a value: node -p "crypto.randomBytes(48).toString(\'base64url\')"',
  '# For a deployment: npx wrangler secret put <name>, before the first request.',
]

interface Secret {
  readonly name: string
  readonly what: string
}

/** Secrets of every Worker with Hapax. */
export const SECRETS: readonly Secret[] = [
  {
    name: 'HAPAX_DIGEST_KEY',
    what: 'Keys all digests that Hapax stores. If it changes, Hapax does not find earlier operations.',
  },
  {
    name: 'HAPAX_SEAL_KEY',
    what: 'Encrypts what the policy fields durable and snapshot.seal store.',
  },
]

/** The secret of operators, where their app is mounted. */
export const ADMIN_TOKEN: Secret = {
  name: 'HAPAX_ADMIN_TOKEN',
  what: 'Opens the dashboard at /_hapax/dashboard and the admin API. Without it, both return 404.',
}

/** Adds the optional secrets of Hapax to the example of `.dev.vars`. */
export function changeDevVars(before: string | null, secrets: readonly Secret[]): FileChange[] {
  const text = before ?? ''
  const missing = secrets.filter(({ name }) => !new RegExp(`^#?\\s*${name}\\s*=`, 'm').test(text))
  if (missing.length === 0) return []
  const newline = lineBreakOf(text)
  const blocks = [
    ...(text.trim() === '' ? [] : [text.trimEnd()]),
    INTRODUCTION.join(newline),
    ...missing.map(({ name, what }) => [`# ${what}`, `${name}=`].join(newline)),
  ]
  const after = `${blocks.join(`${newline}${newline}`)}${newline}`
  const names = missing.map(({ name }) => name).join(', ')
  return [
    {
      file: FILE,
      before,
      after,
      because: [`Says what the secrets ${names} are for. They are optional.`],
    },
  ]
}
