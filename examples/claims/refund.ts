/**
 * Refunds orders, each of them once: `node refund.ts o_1:500 o_2:700`
 *
 * `HAPAX_URL`, `HAPAX_CLAIMS_TOKEN` and `PAYMENTS_URL` say where the gateway and the API of the payments
 * are.
 */
import { parseArgs } from 'node:util'

import {
  business,
  type Duration,
  HapaxError,
  once,
  type OnceContext,
  probe,
} from '../../src/client.ts'

interface Refund {
  readonly order: string
  readonly amount: number
}

const { PAYMENTS_URL } = process.env

/** Has the effect. The API recognizes a repeat by the key. */
async function refund(input: Refund, { key, signal }: OnceContext): Promise<unknown> {
  const response = await fetch(`${PAYMENTS_URL}/refunds`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'Idempotency-Key': key },
    body: JSON.stringify(input),
    signal,
  })
  if (!response.ok) throw new Error(`The API answered with ${response.status}.`)
  return response.json()
}

/** Asks the API whether it knows a refund with this key. */
async function findRefund(_: Refund, { key }: OnceContext) {
  const response = await fetch(`${PAYMENTS_URL}/refunds/${key}`)
  if (response.ok) return { executed: true, result: await response.json() } as const
  return response.status === 404 ? ({ executed: false } as const) : null
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    unknown: { type: 'string', default: 'hold' },
    lease: { type: 'string', default: '60s' },
    grace: { type: 'string', default: '30' },
  },
})

const issueRefund = once(
  'refund',
  {
    key: business('/order'),
    lease: values.lease as Duration,
    unknown:
      values.unknown === 'probe'
        ? probe(findRefund, { grace: `${Number(values.grace)}s` })
        : (values.unknown as 'hold' | 'resend'),
  },
  refund,
)

async function run(text: string): Promise<object> {
  const [order = '', amount] = text.split(':')
  try {
    return { order, result: await issueRefund(process.env, { order, amount: Number(amount) }) }
  } catch (error) {
    if (error instanceof HapaxError) return { order, error: error.code }
    throw error
  }
}

const print = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`)
await Promise.all(positionals.map((text) => run(text).then(print)))
