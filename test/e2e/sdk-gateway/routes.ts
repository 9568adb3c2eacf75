import type { Context } from 'hono'

import {
  body,
  createGateway,
  credential,
  header,
  type PolicyOptions,
  probe,
  protect,
} from '../../../src/hapax.ts'
import { placed } from '../gateway/placement.ts'
import type { Account } from './account.ts'

// Square's SDK sends the key in the body, all others send it in the header.
const key = [header('Idempotency-Key'), body('/idempotency_key')]

/** Not by path: the base URL of some SDKs has none. */
const POLICIES: Readonly<Record<Account, PolicyOptions>> = {
  default: {},
  impatient: { wait: 0 },
  probing: { unknown: probe('/by-key?key={key}', { grace: 0 }) },
  retrying: { unknown: 'resend', retry: { attempts: 3, base: '10ms' } },
}

const handlers = Object.entries(POLICIES).map(
  ([name, policy]) => [name, protect({ key, ...policy })] as const,
)

export const app = createGateway({
  ...placed,
  tenant: [credential('Authorization'), credential('X-Api-Key')],
})

app.post('/*', (c, next) => {
  const account = accountOf(c)
  const [, handler] = handlers.find(([name]) => account.includes(name)) ?? []
  return handler?.(c, next) ?? c.text('no such account', 401)
})

/** The credentials of a caller, as text. */
function accountOf(c: Context): string {
  const text = c.req.header('X-Api-Key') ?? c.req.header('Authorization') ?? ''
  return text.startsWith('Basic ') ? atob(text.slice('Basic '.length)) : text
}
