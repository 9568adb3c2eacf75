import { connect, type Reply } from './admin/connect.ts'
import { printCorrelation } from './admin/correlation.ts'
import { readIds, readKey } from './admin/input.ts'
import { type ListAsked, printList } from './admin/list.ts'
import { changeMany, type ManyAsked } from './admin/many.ts'
import { toJson, toLetter, toLetters, toOperation, toStuck } from './admin/show.ts'
import { Failure } from './failure.ts'
import { parseOptions } from './parse-options.ts'
import { print } from './print.ts'
import { readText } from './text-file.ts'

const HELP = `Usage: hapax admin <command> [options]

Manages the operations and dead letters of a deployment. See docs/admin.md.

  operation <id>     show an operation and its timeline
  lookup             find an operation by --tenant and key. The key comes from HAPAX_KEY,
                     --key-file or standard input, because other processes can read arguments
  correlation <id>   show the operations of a correlation id and their timeline
  release <id>       give up a claim whose Worker is considered lost
  resolve <id> …     set the outcome (--outcome) of an operation whose outcome is unknown
  erase <id>         forget an operation, so that its key is new (requires --yes)
  stuck              list operations whose outcome is unknown
  dead-letters [id]  list undelivered events and messages, or show one with its content
  replay <id> …      deliver or process a dead letter now
  drop <id> …        delete a dead letter (requires --yes)

resolve, replay and drop accept several ids, or - to read one id per line from standard input.

  --url <URL>          URL of the deployment (default: HAPAX_URL)
  --tenant <tenant>    with lookup: the tenant, as shown in metrics and logs
  --consumer <name>    with lookup: the queue consumer, if its own handler runs the operation
  --operation <name>   with lookup: the operation, if its keys have the scope operation
  --key-file <file>    with lookup: a file that contains only the key
  --outcome <outcome>  with resolve: not_executed, succeeded or failed
  --status <status>    with --outcome succeeded or failed: the status that retries receive
  --header 'Name: v'   a header of that response (repeatable)
  --body-file <file>   a file with the body of that response, as text
  --limit <count>      with lists: the page size, newest first (default: 50)
  --after <number>     with lists: continue after a page
  --all                with lists: read all pages
  --override           with replay: ignore an earlier decision about the message
  --yes                confirm this destructive action
  --json               print the response as JSON
  -h, --help           show this help

Set HAPAX_ADMIN_TOKEN to the admin token. Behind Cloudflare Access, set CF_ACCESS_CLIENT_ID and
CF_ACCESS_CLIENT_SECRET to a service token.
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

/** One request, and how its response is shown. */
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

/** Ids of operations and events are digests. One in 64 begins like an option. */
const ID_LIKE_OPTION = /^-[\w-]{42}(?::|$)/

function parse(typed: string[]) {
  const ids = typed.includes('--') ? [] : typed.filter((one) => ID_LIKE_OPTION.test(one))
  const rest = typed.filter((one) => !ids.includes(one))
  const args = ids.length === 0 ? typed : [...rest, '--', ...ids]
  return parseOptions({ args, options: OPTIONS, allowPositionals: true }, HELP)
}

const usage = (what: string) => new Failure(`${what}\n\n${HELP}`, 2)

/** The work of a command: one request, a list, or a change of many ids. */
type Work = Asked | ListAsked | ManyAsked | { readonly correlationId: string }

/** All commands. Each takes an id and the options. */
const COMMANDS: Readonly<Record<string, (id: string, options: Options) => Work | Promise<Work>>> = {
  operation: (id) => ({ ...operation('GET', id), show: toOperation }),
  lookup: toLookUp,
  correlation: (correlationId) => ({ correlationId }),
  release: (id) => ({ ...operation('POST', id, '/release'), show: toOperation }),
  resolve: toResolve,
  erase: (id, options) => {
    requireYes(options, 'This forgets the result of the operation. Its key will execute again.')
    return { ...operation('DELETE', id), show: () => 'Erased. Its key is new.' }
  },
  stuck: (_, options) => ({ list: '/stuck', ...toPage(options), show: toStuck }),
  'dead-letters': (id, options) =>
    id === ''
      ? { list: '/dead-letters', ...toPage(options), show: toLetters }
      : { ...letter('GET', id), show: toLetter },
  replay: (id, options) => ({
    ...letter('POST', id, '/replay'),
    ...toReplay(options),
    show: () => 'Replayed. The letter was removed.',
  }),
  drop: (id, options) => {
    requireYes(options, 'A dropped letter cannot be replayed.')
    return { ...letter('DELETE', id), show: () => 'Dropped.' }
  },
}

/** Commands that take many ids at once. */
const MANY: Readonly<Record<string, (options: Options) => Promise<Omit<ManyAsked, 'ids'>>>> = {
  resolve: async (options) => ({ path: '/operations/resolve', body: await toResolution(options) }),
  replay: async (options) => ({ path: '/dead-letters/replay', ...toReplay(options) }),
  drop: async (options) => {
    requireYes(options, 'Dropped letters cannot be replayed.')
    return { path: '/dead-letters/drop' }
  },
}

/** The accepted numbers of ids, for commands that do not take exactly one. */
const ID_COUNTS: Readonly<Record<string, readonly number[]>> = {
  lookup: [0],
  stuck: [0],
  'dead-letters': [0, 1],
}

async function toAsked([name, ...ids]: string[], options: Options): Promise<Work> {
  if (name === undefined) throw usage('Specify a command.')
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (command === undefined) throw usage(`Unknown command: admin ${name}.`)
  if (ids.length > 1 || ids[0] === '-') {
    const many = Object.hasOwn(MANY, name) ? MANY[name] : undefined
    // Report wrong options before reading standard input.
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
  if (!counts.includes(ids.length)) throw usage(`admin ${name} expects ${counts.join(' or ')} id.`)
  return command(ids[0] ?? '', options)
}

const toPath =
  (list: string) =>
  (method: Asked['method'], id: string, action = '') => ({
    method,
    path: `${list}/${encodeURIComponent(id)}${action}`,
  })
const operation = toPath('/operations')
const letter = toPath('/dead-letters')

async function toLookUp(_: string, options: Options): Promise<Asked> {
  const { tenant, consumer, operation: name } = options
  if (options.key !== undefined) {
    throw usage('Other processes can read a key in an argument. Use HAPAX_KEY or --key-file.')
  }
  if (tenant === undefined) throw usage('--tenant is required.')
  const key = await readKey(process.env, options['key-file'])
  // JSON leaves out what is undefined.
  const body = { tenant, key, consumer, operation: name }
  return { method: 'POST', path: '/operations/lookup', body, show: toOperation }
}

async function toResolve(id: string, options: Options): Promise<Asked> {
  const body = await toResolution(options)
  return { ...operation('POST', id, '/resolve'), body, show: toResolved }
}

const toResolved = (reply: Reply) =>
  reply.status === 204 ? 'Resolved as not executed. Its key is free.' : toOperation(reply)

async function toResolution(options: Options): Promise<object> {
  const { outcome, status, header } = options
  switch (outcome) {
    case 'not_executed':
      if ((status ?? header ?? options['body-file']) === undefined) return { outcome }
      throw usage('An operation that was not executed has no response.')
    case 'succeeded':
    case 'failed':
      return { outcome, response: await toResponse(options) }
    case undefined:
    default:
      throw usage('--outcome must be not_executed, succeeded or failed.')
  }
}

async function toResponse({ status, header = [], 'body-file': file }: Options): Promise<object> {
  if (status === undefined || !/^[2-5]\d\d$/.test(status)) {
    throw usage('--status is required: the status that retries receive, 200 to 599.')
  }
  const body = file === undefined ? '' : await readText(file)
  return { status: Number(status), headers: Object.fromEntries(header.map(toField)), body }
}

function toField(line: string): [string, string] {
  const [name = '', ...value] = line.split(':')
  if (value.length === 0) throw usage("--header must have the form 'Name: value'.")
  return [name.trim(), value.join(':').trim()]
}

function toPage({ limit, after, all = false }: Options) {
  if (limit !== undefined && !/^(?:[1-9]\d?|100)$/.test(limit)) {
    throw usage('--limit must be a number from 1 to 100.')
  }
  if (after !== undefined && !/^[1-9]\d*$/.test(after)) {
    throw usage('--after must be the number at the end of the previous page.')
  }
  return { limit: limit ?? (all ? '100' : null), after: after ?? null, isWhole: all }
}

const toReplay = ({ override = false }: Options) => (override ? { body: { override } } : {})

function requireYes({ yes }: Options, warning: string): void {
  if (yes !== true) throw new Failure(`${warning} Add --yes to confirm.`, 2)
}
