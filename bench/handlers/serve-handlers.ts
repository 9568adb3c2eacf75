import { createServer, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'

import { listen } from '../../dev/local-server.ts'
import { tellParent } from '../harness/tell-parent.ts'
import { callOrigin, type OriginAnswer } from './call-origin.ts'

/** Answers a request whose body was read. */
type Guarded = (incoming: IncomingMessage, body: string) => Promise<OriginAnswer>

/** What a contender's process is started with: where the origin is, and Redis if it needs it. */
export const [, , originUrl = '', redisUrl = ''] = process.argv

/** Serves the plain handler at `/plain` and the guarded one elsewhere, and tells the parent where. */
export async function serveHandlers(guarded: Guarded): Promise<void> {
  const server = createServer((incoming, outgoing) => {
    const answer = async () => {
      const body = await text(incoming)
      const isPlain = incoming.url === '/plain'
      const {
        status,
        type,
        body: answered,
      } = await (isPlain ? callOrigin(originUrl, body) : guarded(incoming, body))
      outgoing.writeHead(status, {
        'Content-Type': type,
        'Content-Length': Buffer.byteLength(answered),
      })
      outgoing.end(answered)
    }
    answer().catch((error: unknown) => outgoing.writeHead(500).end(String(error)))
  })
  tellParent(await listen(server))
}
