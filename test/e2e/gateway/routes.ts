import { env } from 'cloudflare:workers'

import {
  batch,
  createGateway,
  credential,
  mcp,
  passTo,
  probe,
  protect,
  secret,
  service,
  url,
} from '../../../src/hapax.ts'
import { placed, soonOrphaned } from './placement.ts'

// Origins beside the own one. A later deployment may know nothing of them.
const hasOthers = !Reflect.has(env, 'ONLY_OWN_ORIGIN')
const token = secret('PAYMENTS_TOKEN', { scheme: 'Bearer' })
const others = {
  payments: url('PAYMENTS_URL', { headers: { Authorization: token }, strip: '/pay' }),
  ledger: service('LEDGER', { headers: { 'X-Ledger-Token': secret('LEDGER_TOKEN') } }),
}

export const app = createGateway({
  tenant: credential('Authorization'),
  ...placed,
  ...(hasOthers && { origins: others }),
})

const paid = { unknown: 'resend', durable: true, ...soonOrphaned } as const
app.post('/pay/:case', protect({ ...paid, ...(hasOthers && { origin: 'payments' }) }))
if (hasOthers) {
  app.post('/entries/:case', protect({ origin: 'ledger', ...soonOrphaned }))
  app.all('/pay/*', passTo('payments'))
}

// A route for each policy of an unknown outcome; `:point` is the moment at which a test kills.
app.post('/hold/:point', protect({ unknown: 'hold', ...soonOrphaned }))
app.post(
  '/probe/:point',
  protect({ unknown: probe('/status?key={key}', { grace: 0 }), ...soonOrphaned }),
)
app.post('/resend/:point', protect({ unknown: 'resend', ...soonOrphaned }))
app.post(
  '/durable/:point',
  protect({ unknown: 'resend', durable: true, snapshot: { seal: true }, ...soonOrphaned }),
)
// Sealed, so that no alarm asks beside the retry: without the client's key it could not keep a result.
app.post(
  '/asked/:point',
  protect({
    unknown: probe('/status?key={key}', { grace: 0 }),
    snapshot: { seal: true },
    ...soonOrphaned,
  }),
)

// Between two calls: the one before was not executed, the next is up to a minute away.
const pausing = { attempts: 20, base: '60s', cap: '60s', deadline: '10m' } as const
app.post('/hold-pause', protect({ unknown: 'hold', retry: pausing, ...soonOrphaned }))
app.post(
  '/probe-pause',
  protect({
    unknown: probe('/status?key={key}', { grace: 0 }),
    retry: pausing,
    ...soonOrphaned,
  }),
)
app.post('/resend-pause', protect({ unknown: 'resend', retry: pausing, ...soonOrphaned }))

app.post('/limited', protect({ limits: { rate: true } }))

// Answers that stream, under limits of their own.
app.post('/stream/:case', protect())
app.post('/small/:case', protect({ limits: { response: 1_000 } }))
app.post('/large', protect({ limits: { response: 26_214_400 } }))
app.post('/chunked-large', protect({ limits: { response: 26_214_400 } }))
app.post('/vast', protect({ limits: { response: 67_108_864 } }))
app.post('/silent', protect({ timeout: '2s' }))

// What of an answer reaches the wire. HEAD comes to the handlers of `all`.
app.all('/wire/:case', protect())
app.post('/keyless/:case', protect({ required: false }))
app.post('/allowed/:case', protect({ reauthorize: '/may-read' }))

// An API as the openai SDK calls it; whoever comes second under `/impatient` does not wait.
app.post('/v1/chat/completions', protect())
app.post('/impatient/chat/completions', protect({ wait: 0 }))

// MCP servers: one whose tools may be called without a key, one whose tools may not.
app.post('/mcp', protect({ key: mcp(), required: false }))
app.post('/mcp/keyed', protect({ key: mcp() }))

// Many items in one request.
app.post('/batches/:case', protect({ key: batch('/items', '/id'), unknown: 'resend' }))

// A deployment that has become stricter than the one before it.
const isStrict = Reflect.has(env, 'STRICT')
const looser = { unknown: 'resend', durable: true } as const
app.post('/redeployed/:case', protect(isStrict ? {} : looser))
app.post(
  '/redeployed-short/:case',
  protect({ retention: '4s', unknown: isStrict ? 'hold' : 'resend' }),
)
app.post(
  '/redeployed-grace/:case',
  protect({ unknown: probe('/status?key={key}', { grace: isStrict ? '1h' : 0 }), durable: true }),
)
