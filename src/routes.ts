import { createGateway, credential, protect } from './hapax.ts'
import { operators } from './operators.ts'

/** The protected routes of this deployment. All other requests go to the origin unchanged. */
export const app = createGateway({ tenant: credential('Authorization') })

// Mount this first: after other routes or middleware, these paths return 404.
app.route('/_hapax', operators(app))

// Payments: results are remembered for three days, and later retries are rejected for a month. If
// the answer is lost, nothing is charged again until the outcome is resolved. If the API has a status
// resource, `unknown: probe('/payments/by-key/{key}')` resolves it.
app.post('/payments', protect({ retention: '72h', tombstone: '30d' }))

// Slow, because it creates invoices and books stock: longer timeouts on both sides.
app.post('/orders/:id/finalize', protect({ retention: '72h', timeout: '60s', wait: '30s' }))

// The tracker recognizes retries by the derived key, so Hapax sends the request again if its answer is lost.
app.post('/tickets', protect({ unknown: 'resend', retry: { attempts: 4, deadline: '20s' } }))

// Clients add a trace id and a send time to every attempt. Neither changes the request.
app.patch(
  '/orders/:id/status',
  protect({ fingerprint: { ignore: ['/trace_id', '/sent_at'], dates: ['/effective_at'] } }),
)

// Callers want a response at once instead of waiting for a running request.
app.post('/grants', protect({ wait: 0, tombstone: '7d' }))
