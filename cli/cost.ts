import { parseDuration } from '../src/core/duration.ts'
import { toVisible } from '../src/core/visible.ts'
import { type Basis, type Bill, toBill } from './cost/bill.ts'
import { MAX_OBJECT_GB } from './cost/figures.ts'
import { toBillTable, toComparison, toCount, toTotals } from './cost/table.ts'
import { type CostPlacement, type Load, USAGE_OF } from './cost/usage.ts'
import { Failure } from './failure.ts'
import { parseOptions } from './parse-options.ts'
import { print } from './print.ts'

const HELP = `Usage: hapax cost [options]

Estimates what a deployment costs. docs/cost.md describes the model.

  --operations <number>   new operations a day (default: 100000). Several: a table of totals
  --placement <name>      per-key, sharded, or dynamodb for DynamoDB with Powertools on Lambda
                          (default: all, side by side)
  --shards <number>       number of shards (default: 16)
  --origin <duration>     how long the origin takes to respond (default: 200ms)
  --replays <number>      repeats per operation (default: 0.05)
  --body <bytes>          length of a stored response (default: 512)
  --retention <duration>  how long results are kept (default: 24h)
  --lease <duration>      lease of a claim in a shard (default: 60s)
  --unknown <name>        hold, or recover for routes whose alarm asks or sends again (default: hold)
  --cpu <ms>              CPU time of the Worker per request (default: 2)
  --marginal              without the plan's fee and the included amounts
  --json                  machine-readable output
  -h, --help              show this help
`

const OPTIONS = {
  operations: { type: 'string', multiple: true },
  placement: { type: 'string', multiple: true },
  shards: { type: 'string', default: '16' },
  origin: { type: 'string', default: '200ms' },
  replays: { type: 'string', default: '0.05' },
  body: { type: 'string', default: '512' },
  retention: { type: 'string', default: '24h' },
  lease: { type: 'string', default: '60s' },
  unknown: { type: 'string', default: 'hold' },
  cpu: { type: 'string', default: '2' },
  marginal: { type: 'boolean' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

type Options = ReturnType<typeof parse>

const parse = (args: string[]) => parseOptions({ args, options: OPTIONS }, HELP).values

/** Runs `hapax cost`. @throws Failure */
export async function cost(args: string[]): Promise<void> {
  const options = parse(args)
  print(options.help ? HELP : estimate(options))
}

function estimate(options: Options): string {
  const placements = (options.placement ?? Object.keys(USAGE_OF)).map(toPlacement)
  const basis: Basis = options.marginal ? 'marginal' : 'account'
  const { operations: numbers = ['100000'] } = options
  const loads = numbers.map((operations) => toLoad(operations, options))
  const bills = loads.map((load) => placements.map((placement) => toBill(load, placement, basis)))
  if (options.json) return `${JSON.stringify(bills.flat(), null, 2)}\n`
  return `${toTitle(loads, options)}\n\n${show(bills)}${toNotes(bills.flat())}`
}

function toNotes(bills: readonly Bill[]): string {
  const needed = Math.max(0, ...bills.map(({ shardsNeeded = 0 }) => shardsNeeded))
  return needed === 0
    ? ''
    : `\nThe results need at least ${needed} shards: an object stores at most ${MAX_OBJECT_GB} GB.\n`
}

function show(bills: readonly (readonly Bill[])[]): string {
  const [first = []] = bills
  if (bills.length > 1) return toTotals(bills)
  const [only] = first
  return first.length === 1 && only !== undefined ? toBillTable(only) : toComparison(first)
}

function toTitle(loads: readonly Load[], options: Options): string {
  const [load] = loads
  if (load === undefined) return ''
  const { replays, shards, bodyBytes } = load
  return [
    ...(loads.length === 1 ? [`${toCount(load.operationsPerDay)} operations a day`] : []),
    `origin ${options.origin}`,
    `${toCount(replays)} replays per operation`,
    `${toCount(bodyBytes)} bytes kept for ${options.retention}`,
    shards === 1 ? '1 shard' : `${toCount(shards)} shards`,
  ].join(', ')
}

function toLoad(operations: string, options: Options): Load {
  return {
    operationsPerDay: toPositive('--operations', operations),
    replays: toNumber('--replays', options.replays),
    originMs: toMs('--origin', options.origin),
    bodyBytes: toNumber('--body', options.body),
    retentionMs: toMs('--retention', options.retention),
    shards: toPositive('--shards', options.shards),
    leaseMs: toMs('--lease', options.lease),
    unknown: toUnknown(options.unknown),
    cpuMs: toNumber('--cpu', options.cpu),
  }
}

function toPositive(name: string, text: string): number {
  const number = toNumber(name, text)
  if (number === 0) throw new Failure(`${name} must be more than 0.`, 2)
  return number
}

function toNumber(name: string, text: string): number {
  const number = text.trim() === '' ? NaN : Number(text)
  if (Number.isFinite(number) && number >= 0) return number
  throw new Failure(`${name} must be a number such as 1000 or 1e6: ${toVisible(text)}`, 2)
}

function toMs(name: string, text: string): number {
  const ms = parseDuration(text)
  if (ms !== null && ms > 0) return ms
  throw new Failure(`${name} must be a duration such as 200ms or 24h: ${toVisible(text)}`, 2)
}

function toPlacement(name: string): CostPlacement {
  if (Object.hasOwn(USAGE_OF, name)) return name as CostPlacement
  const known = Object.keys(USAGE_OF).join(', ')
  throw new Failure(`--placement must be one of ${known}: ${toVisible(name)}`, 2)
}

function toUnknown(name: string): Load['unknown'] {
  if (name === 'hold' || name === 'recover') return name
  throw new Failure(`--unknown must be hold or recover: ${toVisible(name)}`, 2)
}
