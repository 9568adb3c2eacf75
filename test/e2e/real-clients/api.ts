import { json, type Origin, type Respond } from '../server.ts'
import { CLIENTS, type RealClient } from './clients.ts'

/** What becomes of the first call of an operation at the API. */
export type FirstCall =
  /** Executed and answered. */
  | 'answered'
  /** Executed; then the connection to the gateway is lost. */
  | 'lost'
  /** Answered with 503: nothing was executed. */
  | 'refused'
  /** As `refused`, and so are all that follow. */
  | 'down'
  /** Executed, and answered when the test says so. */
  | 'slow'

/** In the words of each API. */
const BUSY = json(503, { message: 'Try again later.', error: { message: 'Try again later.' } })

/** One operation, as the API sees it. */
export interface Operation {
  readonly client: RealClient
  readonly first: FirstCall
  /** Whether the API knows a key again, and answers as before. */
  readonly isIdempotent: boolean
  /** In every payload of this operation, and of no other one. */
  readonly mark: string
  /** Number of calls. */
  calls: number
  /** Ids of what was executed. */
  readonly effects: string[]
  /** Resolves when the first call is there. */
  readonly arrival: PromiseWithResolvers<void>
  /** Resolved by the test: a slow call is answered. */
  readonly release: PromiseWithResolvers<void>
}

/**
 * Makes an origin the API of every client. It counts what it executes, and tells by key what that was.
 *
 * @returns Opens an operation.
 */
export function scriptApi(
  origin: Origin,
): (plan: Pick<Operation, 'client' | 'first' | 'isIdempotent'>) => Operation {
  const operations = new Map<string, Operation>()
  const answers = new Map<string, Respond>()

  const execute = (operation: Operation, key: string): Respond => {
    const known = answers.get(key)
    if (known !== undefined && operation.isIdempotent) return known
    const id = `${operation.mark}-effect-${operation.effects.length + 1}`
    operation.effects.push(id)
    const answer = json(200, operation.client.answer(id))
    answers.set(key, answer)
    return answer
  }

  for (const path of new Set(CLIENTS.map((client) => client.path))) {
    origin.on(path, ({ headers, body }) => {
      const [mark = ''] = /operation-\d+/.exec(body.toString()) ?? []
      const operation = operations.get(mark)
      if (operation === undefined) throw new Error('A call of no operation')
      operation.calls += 1
      operation.arrival.resolve()
      const { first, release } = operation
      const what = operation.calls === 1 || first === 'down' ? first : 'answered'
      if (what === 'refused' || what === 'down') return BUSY
      const answer = execute(operation, String(headers['idempotency-key']))
      if (what === 'lost') return { kind: 'destroy', when: 'before-headers' }
      return what === 'slow' ? { kind: 'hold', until: release.promise.then(() => answer) } : answer
    })
  }
  origin.on('/by-key', ({ path }) => {
    const key = new URL(path, origin.url).searchParams.get('key') ?? ''
    return answers.get(key) ?? json(404, {})
  })

  return function open(plan) {
    const operation: Operation = {
      ...plan,
      mark: `operation-${operations.size + 1}`,
      calls: 0,
      effects: [],
      arrival: Promise.withResolvers(),
      release: Promise.withResolvers(),
    }
    operations.set(operation.mark, operation)
    return operation
  }
}
