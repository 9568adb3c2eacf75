import { readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { headerOf, statusOf } from '../../demo/client.ts'
import { type BareGateway, startBareGateway } from './bare.ts'
import { json, type Origin, startOrigin } from './server.ts'

const TOKEN = 'token-of-payments-0815'
const LEDGER_TOKEN = 'token-of-the-ledger-4711'
const CLIENT = 'Bearer demo'

/** A Worker that says what it has got. */
const LEDGER = `export default {
  fetch({ url, headers }) {
    const isKnown = headers.get('X-Ledger-Token') === '${LEDGER_TOKEN}'
    const { pathname } = new URL(url)
    return Response.json({ pathname, isKnown, credential: headers.get('Authorization') })
  },
}`

let own: Origin
let payments: Origin
let gateway: BareGateway

beforeAll(async () => {
  ;[own, payments] = await Promise.all([startOrigin(), startOrigin()])
  gateway = await startBareGateway({
    origin: own,
    vars: {
      PAYMENTS_URL: `${payments.url}/v2`,
      PAYMENTS_TOKEN: TOKEN,
      LEDGER_TOKEN,
    },
    services: { LEDGER },
  })
})

afterAll(async () => {
  await gateway.stop()
  await Promise.all([own.close(), payments.close()])
})

const send = (where: string) => gateway.send({ path: where, key: where, body: '{"amount":1}' })
const credentialsOf = ({ requests }: Origin) =>
  new Set(requests.map(({ headers }) => headers.authorization))

describe('a gateway with several origins', () => {
  it('calls the origin of each route, with the headers that are for it', async () => {
    await Promise.all(['/pay/first', '/hold/first'].map(send))
    const answer = await send('/entries/first')
    expect(payments.requestsTo('/v2/first')).toHaveLength(1)
    expect(own.requestsTo('/hold/first')).toHaveLength(1)
    expect(answer).toMatchObject({
      status: 200,
      body: '{"pathname":"/entries/first","isKnown":true,"credential":null}',
    })
  })

  it('passes on what has no policy', async () => {
    const read = await gateway.send({ method: 'GET', path: '/pay/list/all?page=2' })
    expect(statusOf(read)).toBe(201)
    expect(payments.requestsTo('/v2/list/all')).toMatchObject([{ path: '/v2/list/all?page=2' }])
  })

  it('sends again to the same origin after kill -9', async () => {
    payments.on('/v2/again', (_, nth) => json(nth === 1 ? 500 : 201, { nth }))
    expect(statusOf(await send('/pay/again'))).toBe(500)
    await gateway.restart()
    const again = await send('/pay/again')
    expect(again).toMatchObject({ kind: 'answered', status: 201, body: '{"nth":2}' })
  })

  it('sends nothing elsewhere if a deployment does not have the origin any more', async () => {
    let isBack = false
    // The alarm may have sent it again as well.
    payments.on('/v2/gone', () => json(isBack ? 201 : 500, { isBack }))
    await send('/pay/gone')
    await gateway.redeploy({ ONLY_OWN_ORIGIN: '1' })
    const held = await send('/pay/gone')
    expect([statusOf(held), headerOf(held, 'Hapax-Error')]).toEqual([409, 'outcome-unknown'])
    expect([own.requestsTo('/pay/gone'), own.requestsTo('/gone')]).toEqual([[], []])
    isBack = true
    await gateway.redeploy({})
    expect(await send('/pay/gone')).toMatchObject({ status: 201, body: '{"isBack":true}' })
  })

  // After all others: what they have left behind is looked at.
  it('shows the credential of an origin to nobody else, and writes it nowhere', async () => {
    expect(credentialsOf(payments)).toEqual(new Set([`Bearer ${TOKEN}`]))
    expect(credentialsOf(own)).toEqual(new Set([CLIENT]))
    const seen = JSON.stringify([own.requests, payments.requests.map(({ headers }) => headers)])
    expect(seen).not.toContain(LEDGER_TOKEN)
    await gateway.kill()
    const written = [gateway.log(), ...readAll(gateway.state)]
    expect(written.length).toBeGreaterThan(5)
    expect(written.filter((text) => text.includes(TOKEN) || text.includes(LEDGER_TOKEN))).toEqual(
      [],
    )
  })
})

/** The contents of all files below a directory. */
function readAll(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((file) => path.join(directory, file))
    .filter((file) => statSync(file).isFile())
    .map((file) => readFileSync(file, 'latin1'))
}
