/**
 * Runs the gateway, two demo APIs and a local Analytics Engine until Ctrl-C.
 *
 *     npm start
 *
 * State is kept in `.demo/`; delete that directory to start over.
 */
import { randomUUID } from 'node:crypto'
import path from 'node:path'

import { AnalyticsEngine } from '../dev/analytics-engine.ts'
import { analyticsVars } from './analytics-vars.ts'
import { startCrm } from './crm.ts'
import { freePort, isListening, startDevServer } from './dev-server.ts'

const state = path.resolve(import.meta.dirname, '../.demo')
let isReady = false

const analytics = await AnalyticsEngine.start({ directory: path.join(state, 'analytics') })
const adminToken = randomUUID()
const crm = await startCrm()
const [gatewayPort, originPort] = await Promise.all([portNear(8787), portNear(8788)])
console.log('Starting the gateway, the demo API and a local Analytics Engine …')
const [gateway, origin] = await Promise.all([
  startDevServer({
    config: 'wrangler.toml',
    script: 'demo/gateway/index.ts',
    persistTo: path.join(state, 'gateway'),
    vars: {
      ORIGIN_URL: `http://127.0.0.1:${originPort}`,
      CRM_URL: crm.url,
      CRM_TOKEN: crm.token,
      HAPAX_ADMIN_TOKEN: adminToken,
      ...analyticsVars(analytics),
    },
    port: gatewayPort,
    onLine: (line) => {
      if (isReady && line.trim() !== '') console.log(`gateway │ ${line}`)
    },
  }),
  startDevServer({
    config: 'demo/origin/wrangler.toml',
    persistTo: path.join(state, 'origin'),
    port: originPort,
    readyPath: '/ledger',
  }),
])
isReady = true
console.log(introduction())

const interrupted = Promise.withResolvers<void>()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => interrupted.resolve())
}
const ended = await Promise.race([
  interrupted.promise.then(() => null),
  gateway.closed.then(() => gateway),
  origin.closed.then(() => origin),
])
if (ended !== null) {
  console.error(`${ended === gateway ? 'The gateway' : 'The demo API'} ended:\n${ended.log()}`)
  process.exitCode = 1
}
await Promise.all([gateway.stop(), origin.stop(), analytics.close(), crm.close()])
console.log('Stopped. The data is kept in .demo/')

async function portNear(wanted: number): Promise<number> {
  return (await isListening(wanted)) ? freePort() : wanted
}

function introduction(): string {
  const key = `try-${randomUUID().slice(0, 8)}`
  const pay = (
    amount: number,
  ) => `curl -i ${gateway.url}/payments -H 'Authorization: Bearer demo' \\
    -H 'Idempotency-Key: ${key}' -H 'Content-Type: application/json' \\
    -d '{"amount":${amount},"currency":"EUR"}'`
  return `
  gateway   ${gateway.url}
  demo API  ${origin.url}
  demo CRM  ${crm.url}, which accepts only the token that the gateway has

A payment of 5.00 EUR:

  ${pay(500)}

The same payment again, which returns the stored response:

  ${pay(500)}

The same key with another amount, which is rejected:

  ${pay(900)}

A contact in the CRM, which never receives your credential:

  curl -i ${gateway.url}/crm/contacts -H 'Authorization: Bearer demo' \\
    -H 'Idempotency-Key: ${key}-contact' -H 'Content-Type: application/json' -d '{"name":"Ada"}'

Show what the API executed, and reset it:

  curl ${origin.url}/ledger
  curl -X DELETE ${origin.url}/ledger

Open the dashboard (token ${adminToken}) or query the analytics:

  ${gateway.url}/_hapax/dashboard
  HAPAX_ANALYTICS_URL=${analytics.url} npm run --silent hapax -- analytics summary

To simulate a failure, add -H 'Demo-Behaviour: …' to a payment with a new key: slow=800, fail=500,
refuse=503, drop or hang. Press Ctrl-C to stop.
`
}
