import {
  DurableObject,
  WorkflowEntrypoint,
  type WorkflowEvent,
  type WorkflowStep,
} from 'cloudflare:workers'
import { Hono } from 'hono'

import {
  anonymous,
  body,
  createWorker,
  hapax,
  HapaxError,
  type HapaxEnv,
  once,
  type OnceContext,
  probe,
} from '../../../src/hapax.ts'
import { placed } from '../gateway/placement.ts'

export { DirectoryObject, IdempotencyObject } from '../../../src/hapax.ts'

interface Bindings extends HapaxEnv {
  readonly ORIGIN_URL: string
  readonly RUNNER: DurableObjectNamespace<Runner>
  readonly FLOW: Workflow<Job>
}

interface Job {
  readonly policy: string
  readonly id: string
}

/** Has its effect at the origin, with the key of the operation. */
async function work({ policy, id }: Job, { key, attempt, signal, env }: OnceContext<Bindings>) {
  const headers = { 'Idempotency-Key': key, 'Idempotency-Attempt': String(attempt) }
  const init = { method: 'POST', headers, body: '{}', signal }
  const response = await fetch(`${env.ORIGIN_URL}/${policy}/${id}`, init)
  return response.json<{ nth: number }>()
}

/** Asks the origin whether it knows the key. */
async function find({ policy, id }: Job, { key, env }: OnceContext) {
  const { ORIGIN_URL } = env as Bindings
  const response = await fetch(`${ORIGIN_URL}/find?key=${key}&path=/${policy}/${id}`)
  const { nth } = await response.json<{ nth: number | null }>()
  return nth === null
    ? ({ executed: false } as const)
    : ({ executed: true, result: { nth } } as const)
}

const common = { key: body('/id'), lease: '1s' } as const

const functions = {
  hold: once('hold', common, work),
  resend: once('resend', { ...common, unknown: 'resend' }, work),
  probe: once('probe', { ...common, unknown: probe(find, { grace: 0 }) }, work),
  durable: once('durable', { ...common, unknown: 'resend', durable: true }, work),
  asked: once('asked', { ...common, unknown: probe(find, { grace: 0 }), durable: true }, work),
}

function run(env: object, job: Job) {
  return functions[job.policy as keyof typeof functions](env, job)
}

/** Calls guarded functions from a Durable Object. */
export class Runner extends DurableObject<Bindings> {
  run(job: Job): Promise<{ nth: number }> {
    return run(this.env, job)
  }
}

/** Calls guarded functions from the step of a Workflow. */
export class Flow extends WorkflowEntrypoint<Bindings, Job> {
  override async run(
    { payload }: WorkflowEvent<Job>,
    step: WorkflowStep,
  ): Promise<{ nth: number }> {
    return step.do('work', () => run(this.env, payload))
  }
}

const app = new Hono<{ Bindings: Bindings }>()

// No route is protected; it says where the objects are.
app.use(hapax({ tenant: anonymous(), ...placed }))

app.post('/worker/:policy/:id', async (c) => c.json(await run(c.env, c.req.param())))

app.post('/object/:policy/:id', async (c) =>
  c.json(await c.env.RUNNER.getByName('one').run(c.req.param())),
)

app.post('/workflow/:policy/:id', async (c) => {
  const flow = await c.env.FLOW.create({ params: c.req.param() })
  for (;;) {
    const { status, output } = await flow.status()
    if (status === 'complete') return c.json(output as object)
    if (status === 'errored') return c.text('errored', 500)
    await scheduler.wait(20)
  }
})

app.onError((error, c) =>
  error instanceof HapaxError ? c.text(error.code, 409) : c.text(error.message, 500),
)

// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default createWorker(app)
