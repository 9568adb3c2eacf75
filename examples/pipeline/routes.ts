import { createGateway, emit, fromHeader, idempotent, queue } from '../../src/hapax.ts'
import { operators } from '../../src/operators.ts'
import { findReport, type Report, requestFigures } from './report.ts'

/** The proxy in front has verified who calls, and lets nobody else set this header. */
export const ACCOUNT = 'X-Account-Id'

export const app = createGateway({ tenant: fromHeader(ACCOUNT) })
app.route('/_hapax', operators(app))

// All that it leaves is its event, stored with the answer or not at all: it may simply run again.
app.post('/reports', idempotent({ unknown: 'resend', lease: '10s' }), async (c) => {
  const month = (await c.req.json<{ month?: unknown } | null>())?.month
  const account = c.req.header(ACCOUNT)
  if (account === undefined || typeof month !== 'string' || !/^\d{4}-\d{2}$/.test(month)) {
    return c.json({ error: 'Send the month of the report, such as "2026-10".' }, 400)
  }
  const report: Report = { account, month }
  const { correlationId } = c.var.hapax
  const { status } = await requestFigures(c.env, report, { method: 'HEAD', correlationId })
  if (status === 404) return c.json({ error: 'There are no figures of this month.' }, 404)
  if (status !== 200) return c.json({ error: 'The figures cannot be read right now.' }, 503)
  emit(c, { type: 'report.requested', data: report, to: queue('REPORTS') })
  return c.json({ status: 'accepted' }, 202, { Location: `/reports/${month}` })
})

app.get('/reports/:month', async (c) => {
  const account = c.req.header(ACCOUNT)
  if (account === undefined) return c.text('Unauthorized', 401)
  const found = await findReport(c.env, { account, month: c.req.param('month') })
  if (found === null) return c.json({ status: 'not ready' }, 404, { 'Retry-After': '1' })
  return c.body(found.body, 200, {
    'Content-Type': 'text/csv; charset=utf-8',
    'X-Correlation-Id': found.customMetadata?.['correlationId'] ?? '',
  })
})
