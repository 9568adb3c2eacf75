/** A handler behind `express-idempotency`, which keeps responses in memory. */
import { createServer } from 'node:http'

import express from 'express'
import { getSharedIdempotencyService, idempotency } from 'express-idempotency'

import { listen } from '../../dev/local-server.ts'
import { tellParent } from '../harness/tell-parent.ts'
import { callOrigin } from './call-origin.ts'
import { originUrl } from './serve-handlers.ts'

const app = express()
app.use(express.json())
app.post('/payments', idempotency())
app.post(['/payments', '/plain'], async (request, response) => {
  if (request.path === '/payments' && getSharedIdempotencyService().isHit(request)) return
  const { status, body } = await callOrigin(originUrl, JSON.stringify(request.body))
  response.status(status).send(JSON.parse(body))
})

tellParent(await listen(createServer(app)))
