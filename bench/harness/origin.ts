/** The API behind every contender, in a process of its own: tells its URL to the parent process. */
import { createServer } from 'node:http'

import { listen } from '../../dev/local-server.ts'
import { tellParent } from './tell-parent.ts'

/** How long a path with `slow` in it takes: time for a duplicate to come and join. */
const SLOW_MS = 100

const ANSWER = JSON.stringify({
  id: 'pay_1NqL5e2eZvKYlo2C',
  status: 'succeeded',
  amount: 4_999,
  currency: 'eur',
  created: '2026-11-29T08:00:00Z',
})

const server = createServer((incoming, outgoing) => {
  const answer = () => {
    const length = Buffer.byteLength(ANSWER)
    outgoing.writeHead(201, { 'Content-Type': 'application/json', 'Content-Length': length })
    outgoing.end(ANSWER)
  }
  incoming.resume()
  incoming.once('end', () => {
    if (incoming.url?.includes('slow') === true) setTimeout(answer, SLOW_MS)
    else answer()
  })
})

tellParent(await listen(server))
