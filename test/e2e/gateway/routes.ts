import { createGateway, credential, probe, protect } from '../../../src/hapax.ts'

/** A route for each policy of an unknown outcome; `:point` is the moment at which a test kills. */
export const app = createGateway({ tenant: credential('Authorization') })

app.post('/hold/:point', protect({ unknown: 'hold' }))
app.post('/probe/:point', protect({ unknown: probe('/status?key={key}') }))
app.post('/resend/:point', protect({ unknown: 'resend' }))
app.post('/durable/:point', protect({ unknown: 'resend', durable: true }))
app.post('/asked/:point', protect({ unknown: probe('/status?key={key}') }))

// Between two calls: the first was not executed, the second is an hour away.
const pausing = { attempts: 2, base: '60s', cap: '60s', deadline: '10m' } as const
app.post('/hold-pause', protect({ unknown: 'hold', retry: pausing }))
app.post('/probe-pause', protect({ unknown: probe('/status?key={key}'), retry: pausing }))
app.post('/resend-pause', protect({ unknown: 'resend', retry: pausing }))

app.post('/limited', protect({ limits: { rate: true } }))
