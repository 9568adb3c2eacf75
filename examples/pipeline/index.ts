import {
  asHeader,
  business,
  consume,
  createWorker,
  forward,
  type MessageHandler,
  type MessagePolicy,
  queue,
  type ReceivedMessage,
} from '../../src/hapax.ts'
import { makeReport, type Report } from './report.ts'
import { ACCOUNT, app } from './routes.ts'

export { DirectoryObject, IdempotencyObject } from '../../src/hapax.ts'

const render: MessageHandler = async ({ payload }, ctx) => {
  const report = payload as Report
  await makeReport(ctx.env, report, ctx.correlationId)
  ctx.emit({ type: 'report.ready', data: report, to: queue('REPORTS') })
}

// Whoever asks for a report, it is one operation: path, key and payload are the same.
const rendering = {
  request: 'POST /renderings',
  key: business('/account', '/month'),
  // A report is stored under its name, so it may be rendered again when nobody knows whether it was.
  unknown: 'resend',
  lease: '10s',
} as const satisfies MessagePolicy

/** Billing asks for the report of each month that it closes, in words of its own. */
function fromBilling(body: unknown): Report {
  const { account, period } = (body as { data: BillingMonth }).data
  return { account, month: `${period.year}-${String(period.month).padStart(2, '0')}` }
}

interface BillingMonth {
  readonly account: string
  readonly period: { readonly year: number; readonly month: number }
}

const accountOf = ({ body }: ReceivedMessage) =>
  (body as { data?: { account?: string } } | null)?.data?.account

const reports = consume(
  {
    'report.requested': { ...rendering, handle: render },
    'month.closed': { ...rendering, handle: render, payload: fromBilling },
    // A mail cannot be taken back: where nobody knows whether it went out, an operator decides.
    'report.ready': forward('/mails'),
  },
  {
    tenant: asHeader(ACCOUNT, accountOf),
    // Longer than the queue may keep a message that it delivers again.
    retention: '15d',
    retry: { attempts: 20, base: '1s' },
  },
)

// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default createWorker(app, { queue: reports })
