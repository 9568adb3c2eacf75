import { createGateway, credential, idempotent, probe, protect } from '../../../src/hapax.ts'
import { placed } from '../gateway/placement.ts'

export const app = createGateway({ tenant: credential('Authorization'), ...placed })

const retry = { attempts: 4, base: '1ms', cap: '2ms' } as const

app.post('/held/:case', protect({ retry }))
app.post('/resent/:case', protect({ unknown: 'resend', retry: { ...retry, attempts: 2 } }))
// Whatever the origin answers, it has executed nothing.
const outcomes = { '2xx': 'not_executed', '5xx': 'not_executed' } as const
app.post('/ruled/:case', protect({ retry, outcomes }))
app.post('/probed/:case', protect({ unknown: probe('/status/{key}'), timeout: '2s' }))
app.post('/asked/:case', protect({ unknown: probe('/status/{key}', { grace: 0 }) }))
app.post('/reauthorized/:case', protect({ reauthorize: '/may' }))

app.all('/any/:case', protect())
app.all('/keyless/:case', protect({ required: false, sunset: { at: '2030-01-01' } }))
app.all('/observed/:case', protect({ mode: 'observe', sunset: { at: '2030-01-01' } }))

/** Hands the request on, and its answer back. */
app.post('/handed-on/:case', idempotent(), (c) => fetch(`${c.env.ORIGIN_URL}${c.req.path}`))
app.post('/handed-on-keyless/:case', idempotent({ required: false }), (c) =>
  fetch(`${c.env.ORIGIN_URL}${c.req.path}`),
)
app.all('/handler/:case', idempotent(), async (c) => c.text(`read: ${await c.req.text()}`))
