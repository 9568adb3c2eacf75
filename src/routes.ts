import { createGateway, credential, protect } from './hapax.ts'
import { operators } from './operators.ts'

/** The critical operations of this deployment; everything else goes to the origin untouched. */
export const app = createGateway({ tenant: credential('Authorization') })

// Mounted first: behind a route or a middleware of the app, these paths answer 404.
app.route('/_hapax', operators(app))

// Money moves: a result is remembered for three days, and a retry that comes later still is refused
// for a month. A lost answer is held: nobody charges again before it is known what happened. Where
// the API has a status resource, `unknown: probe('/payments/by-key/{key}')` finds that out.
app.post('/payments', protect({ retention: '72h', tombstone: '30d' }))

// Slow, because invoices are made and stock is booked: more patience on both sides.
app.post('/orders/:id/finalize', protect({ retention: '72h', timeout: '60s', wait: '30s' }))

// The tracker knows repeats by the derived key that it gets, so a lost answer is simply sent again.
app.post('/tickets', protect({ unknown: 'resend', retry: { attempts: 4, deadline: '20s' } }))

// Clients stamp every try with a trace id and a time of sending; neither makes it another request.
app.patch(
  '/orders/:id/status',
  protect({ fingerprint: { ignore: ['/trace_id', '/sent_at'], dates: ['/effective_at'] } }),
)

// Access is granted by people and machines that would rather be told at once than wait.
app.post('/grants', protect({ wait: 0, tombstone: '7d' }))
