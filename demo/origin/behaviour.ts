import type { Context, MiddlewareHandler } from 'hono'

/** How the API misbehaves for one request, as the header `Demo-Behaviour` asks for it. */
type Behaviour =
  | { kind: 'slow'; delayMs: number }
  | { kind: 'fail'; status: number }
  | { kind: 'refuse'; status: number }
  | { kind: 'drop' }
  | { kind: 'hang' }

const aWhileMs = 50
const foreverMs = 2 ** 31 - 1

/**
 * Lets a client choose how the API breaks: `slow=800` (ms), `fail=500` and `refuse=503` (statuses),
 * `drop`, `hang`. All but `refuse` happen after the side effect, as in the accidents that matter.
 *
 * A request that the API rejects is answered as ever.
 */
export function demoBehaviour(): MiddlewareHandler {
  return async function behaveAsAsked(c, next) {
    const header = c.req.header('Demo-Behaviour')
    if (header === undefined) return next()
    const behaviour = parseBehaviour(header)
    if (behaviour === null) return c.json({ error: `No such Demo-Behaviour: ${header}` }, 400)
    if (behaviour.kind === 'refuse') return answerOf(behaviour.status, 'refused, nothing was done')
    await next()
    if (c.res.ok) await misbehave(c, behaviour)
    return undefined
  }
}

function parseBehaviour(header: string): Behaviour | null {
  const [kind = '', number] = header.split('=')
  const value = Number(number)
  if (kind === 'drop' || kind === 'hang') return { kind }
  if (kind === 'slow' && value >= 0 && value <= foreverMs) return { kind, delayMs: value }
  if ((kind === 'fail' || kind === 'refuse') && isErrorStatus(value)) return { kind, status: value }
  return null
}

function isErrorStatus(status: number): boolean {
  return Number.isInteger(status) && status >= 400 && status <= 599
}

async function misbehave(c: Context, behaviour: Exclude<Behaviour, { kind: 'refuse' }>) {
  switch (behaviour.kind) {
    case 'slow':
      return scheduler.wait(behaviour.delayMs)
    case 'fail':
      return answerInstead(c, answerOf(behaviour.status, 'failed after it was done'))
    case 'drop':
      return answerInstead(c, new Response(brokenBody(), { status: c.res.status }))
    case 'hang':
      // A pending timer: a promise that nothing can settle, workerd answers with an error at once.
      return scheduler.wait(foreverMs)
  }
}

function answerInstead(c: Context, answer: Response): void {
  // Hono keeps the headers of an answer that is replaced, unless there is none at that time.
  c.res = undefined
  c.res = answer
}

function answerOf(status: number, error: string): Response {
  return Response.json({ error }, { status })
}

/**
 * Breaks the connection when the status line has gone out, with no byte of the body.
 *
 * Whatever breaks earlier (a throw, a stream that errors at once) is turned into a complete answer
 * with status 500 by the server in front of the Worker, and that is no lost connection.
 */
function brokenBody(): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      await scheduler.wait(aWhileMs)
      controller.error(new Error('The demo breaks this connection'))
    },
  })
}
