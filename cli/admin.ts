import { parseArgs } from 'node:util'

import { connect, type Reply } from './admin/connect.ts'
import { printCorrelation } from './admin/correlation.ts'
import { readKey } from './admin/key.ts'
import { type ListAsked, printList } from './admin/list.ts'
import { changeMany, type ManyAsked, readIds } from './admin/many.ts'
import { toJson, toLetter, toLetters, toOperation, toStuck } from './admin/show.ts'
import { Failure, reasonOf } from './failure.ts'
import { print } from './print.ts'
import { readText } from './text-file.ts'

const HELP = `Usage: hapax admin <command> [options]

Looks after the operations of a deployment: docs/admin.md.

  operation <id>     an operation and its timeline
  lookup             the same by --tenant and its key, which comes from HAPAX_KEY, --key-file
                     or standard input: an argument could be read by every process here
  correlation <id>   the operations that bear a correlation id, and what happened under it
  release <id>       gives up a claim whose Worker is thought lost
  resolve <id> …     says what became of an unknown outcome, by --outcome
  erase <id>         forgets an operation: its key is new again; asks for --yes
  stuck              operations whose outcome is unknown
  dead-letters [id]  events and messages that nobody took, or one of them with its content
  replay <id> …      delivers or does a dead letter again, right now
  drop <id> …        gives a dead letter up; asks for --yes

resolve, replay and drop take many ids, or - for those of standard input, one a line.

  --url <URL>          the deployment (HAPAX_URL)
  --tenant <tenant>    with lookup: as it is named in metrics and logs
  --consumer <name>    with lookup: of a queue, where its operation is no route's
  --operation <name>   with lookup: where its keys count within it, as event ids do
  --key-file <file>    with lookup: the file that holds the key, alone
  --outcome <outcome>  with resolve: not_executed, succeeded or failed
  --status <status>    with --outcome succeeded or failed: of the response that retries get
  --header 'Name: v'   a header of that response; may be there more than once
  --body-file <file>   the body of that response, as text
  --limit <count>      with lists: so many of them, the newest first (50)
  --after <number>     with lists: go on where a page has ended
  --all                with lists: to the end
  --override           with replay: whatever was decided about the message
  --yes                it is meant
  --json               the answer as it came, for programs
  -h, --help           this text

The admin token is HAPAX_ADMIN_TOKEN, or CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET are those
of a service token that Cloudflare Access lets in.
`

const OPTIONS = {
  url: { type: 'string' },
  tenant: { type: 'string' },
  consumer: { type: 'string' },
  operation: { type: 'string' },
  key: { type: 'string' },
  'key-file': { type: 'string' },
  outcome: { type: 'string' },
  status: { type: 'string' },
  header: { type: 'string', multiple: true },
  'body-file': { type: 'string' },
  limit: { type: 'string' },
  after: { type: 'string' },
  all: { type: 'boolean' },
  override: { type: 'boolean' },
  yes: { type: 'boolean' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

type Options = ReturnType<typeof parse>['values']

/** What is asked for, and how its answer is shown. */
interface Asked {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly body?: object
  readonly show: (reply: Reply) => string
}

/** `hapax admin`: operations and dead letters of a deployment. @throws Failure */
export async function admin(args: string[]): Promise<void> {
  const { values: options, positionals } = parse(args)
  if (options.help) {
    print(HELP)
    return
  }
  const asked = await toAsked(positionals, options)
  const ask = connect(process.env, options.url)
  const isJson = options.json === true
  if ('ids' in asked) return changeMany(ask, asked, isJson)
  if ('list' in asked) return printList(ask, asked, isJson)
  if ('correlationId' in asked) return printCorrelation(ask, asked.correlationId, isJson)
  const reply = await ask(asked)
  print(isJson ? toJson(reply) : `${asked.show(reply)}\n`)
}

/** Ids of operations and of their events are digests, one of 64 of which begins like an option. */
const ID_LIKE_OPTION = /^-[\w-]{42}(?::|$)/

function parse(typed: string[]) {
  const ids = typed.includes('--') ? [] : typed.filter((one) => ID_LIKE_OPTION.test(one))
  const rest = typed.filter((one) => !ids.includes(one))
  const args = ids.length === 0 ? typed : [...rest, '--', ...ids]
  try {
    return parseArgs({ args, options: OPTIONS, allowPositionals: true })
  } catch (error) {
    throw usage(reasonOf(error))
  }
}

const usage = (what: string) => new Failure(`${what}\n\n${HELP}`, 2)

/** What a command asks for: one thing, a list, or a change of many things. */
type Work = Asked | ListAsked | ManyAsked | { readonly correlationId: string }

/** Every command, with what it takes besides its options. */
const COMMANDS: Readonly<Record<string, (id: string, options: Options) => Work | Promise<Work>>> = {
  operation: (id) => ({ ...operation('GET', id), show: toOperation }),
  lookup: toLookUp,
  correlation: (correlationId) => ({ correlationId }),
  release: (id) => ({ ...operation('POST', id, '/release'), show: toOperation }),
  resolve: toResolve,
  erase: (id, options) => {
    requireYes(options, 'What it came to is forgotten, and its key executes again.')
    return { ...operation('DELETE', id), show: () => 'Erased. Its key is new again.' }
  },
  stuck: (_, options) => ({ list: '/stuck', ...toPage(options), show: toStuck }),
  'dead-letters': (id, options) =>
    id === ''
      ? { list: '/dead-letters', ...toPage(options), show: toLetters }
      : { ...letter('GET', id), show: toLetter },
  replay: (id, options) => ({
    ...letter('POST', id, '/replay'),
    ...toReplay(options),
    show: () => 'Done. The letter is gone.',
  }),
  drop: (id, options) => {
    requireYes(options, 'Nobody can replay it any more.')
    return { ...letter('DELETE', id), show: () => 'Dropped.' }
  },
}

/** Commands that take many ids at once. */
const MANY: Readonly<Record<string, (options: Options) => Promise<Omit<ManyAsked, 'ids'>>>> = {
  resolve: async (options) => ({
    path: '/operations/resolve',
    body: await toResolution(options),
  }),
  replay: async (options) => ({ path: '/dead-letters/replay', ...toReplay(options) }),
  drop: async (options) => {
    requireYes(options, 'Nobody can replay them any more.')
    return { path: '/dead-letters/drop' }
  },
}

/** How many ids a command takes, where it is not one. */
const ID_COUNTS: Readonly<Record<string, readonly number[]>> = {
  lookup: [0],
  stuck: [0],
  'dead-letters': [0, 1],
}

async function toAsked([name, ...ids]: string[], options: Options): Promise<Work> {
  if (name === undefined) throw usage('Which command?')
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (command === undefined) throw usage(`There is no command admin ${name}.`)
  if (ids.length > 1 || ids[0] === '-') {
    const many = Object.hasOwn(MANY, name) ? MANY[name] : undefined
    // What is wrong with the options is said before anything is read.
    const asked = await many?.(options)
    if (asked !== undefined) return { ...asked, ids: await readIds(ids) }
  }
  return toOne(name, command, ids, options)
}

function toOne(
  name: string,
  command: (id: string, options: Options) => Work | Promise<Work>,
  ids: readonly string[],
  options: Options,
): Work | Promise<Work> {
  const counts = ID_COUNTS[name] ?? [1]
  if (!counts.includes(ids.length)) throw usage(`admin ${name} takes ${counts.join(' or ')} id.`)
  return command(ids[0] ?? '', options)
}

const operation = <method extends Asked['method']>(method: method, id: string, action = '') => ({
  method,
  path: `/operations/${encodeURIComponent(id)}${action}`,
})

const letter = <method extends Asked['method']>(method: method, id: string, action = '') => ({
  method,
  path: `/dead-letters/${encodeURIComponent(id)}${action}`,
})

async function toLookUp(_: string, options: Options): Promise<Asked> {
  const { tenant, consumer, operation: name } = options
  if (options.key !== undefined) {
    throw usage(
      'A key in an argument can be read by every process here. Use HAPAX_KEY or --key-file.',
    )
  }
  if (tenant === undefined) throw usage('--tenant is missing.')
  const key = await readKey(process.env, options['key-file'])
  const body = {
    tenant,
    key,
    ...(consumer !== undefined && { consumer }),
    ...(name !== undefined && { operation: name }),
  }
  return { method: 'POST', path: '/operations/lookup', body, show: toOperation }
}

async function toResolve(id: string, options: Options): Promise<Asked> {
  const body = await toResolution(options)
  return { ...operation('POST', id, '/resolve'), body, show: toResolved }
}

function toResolved(reply: Reply): string {
  const isFreed = reply.status === 204
  return isFreed ? 'Resolved. It was not executed: its key is free.' : toOperation(reply)
}

async function toResolution(options: Options): Promise<object> {
  const { outcome, status, header } = options
  switch (outcome) {
    case 'not_executed':
      if ((status ?? header ?? options['body-file']) === undefined) return { outcome }
      throw usage('What was not executed has no response.')
    case 'succeeded':
    case 'failed':
      return { outcome, response: await toResponse(options) }
    case undefined:
    default:
      throw usage('--outcome is not_executed, succeeded or failed.')
  }
}

async function toResponse({ status, header = [], 'body-file': file }: Options): Promise<object> {
  if (status === undefined || !/^[2-5]\d\d$/.test(status)) {
    throw usage('--status is missing: 200 to 599, what retries are answered with.')
  }
  const body = file === undefined ? '' : await readText(file)
  return { status: Number(status), headers: Object.fromEntries(header.map(toField)), body }
}

function toField(line: string): [string, string] {
  const [name = '', ...value] = line.split(':')
  if (value.length === 0) throw usage("--header is written 'Name: value'.")
  return [name.trim(), value.join(':').trim()]
}

function toPage({ limit, after, all = false }: Options) {
  if (limit !== undefined && !/^(?:[1-9]\d?|100)$/.test(limit)) {
    throw usage('--limit is a number from 1 to 100.')
  }
  if (after !== undefined && !/^[1-9]\d*$/.test(after)) {
    throw usage('--after is the number that the page before has ended with.')
  }
  return { limit: limit ?? (all ? '100' : null), after: after ?? null, isWhole: all }
}

const toReplay = ({ override = false }: Options) => (override ? { body: { override } } : {})

function requireYes({ yes }: Options, warning: string): void {
  if (yes !== true) throw new Failure(`${warning} Say --yes where that is meant.`, 2)
}
