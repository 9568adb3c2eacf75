import { toVisible } from '../src/core/visible.ts'
import { Failure } from './failure.ts'
import { parseOptions } from './parse-options.ts'
import { print } from './print.ts'
import { checkEffect, type SafeRequest } from './verify/effect.ts'
import { readHeaders } from './verify/headers.ts'
import { checkHealth } from './verify/health.ts'
import type { Step } from './verify/step.ts'
import { createTarget } from './verify/target.ts'

const HELP = `Usage: hapax verify --smoke --url <URL> [options]

Checks a deployment after it was deployed. Without --path, it sends nothing that could be executed:
it reads the contract and a problem page, and sends requests that Hapax rejects.

  --url <URL>        the deployment. If hapax() was added below a path, with this path
  --path <path>      a protected route that may be executed once: sends one request twice with one
                     key, and expects one execution and one replay. Then another body with this
                     key, which must be rejected
  --method <method>  method for --path (default: POST)
  --data <body>      body for --path (JSON, unless a --header sets another Content-Type)
  --header <header>  header for --path, such as 'Authorization: Bearer \${TOKEN}'. \${TOKEN} is read
                     from the environment: use single quotes, so that the shell does not insert it
  --json             machine-readable output
  -h, --help         show this help

Exit codes: 0 all steps passed, 1 a step failed, 2 usage error. No header is ever printed.
`

const OPTIONS = {
  smoke: { type: 'boolean' },
  url: { type: 'string' },
  path: { type: 'string' },
  method: { type: 'string' },
  data: { type: 'string' },
  header: { type: 'string', multiple: true },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

type Options = ReturnType<typeof parse>

const parse = (args: string[]) => parseOptions({ args, options: OPTIONS }, HELP).values

/** Runs `hapax verify`. Sets the exit code 1 if a step fails. @throws Failure */
export async function verify(args: string[]): Promise<void> {
  const options = parse(args)
  if (options.help) {
    print(HELP)
    return
  }
  if (!options.smoke) throw new Failure(`Specify what to verify: --smoke.\n\n${HELP}`, 2)
  const safe = toSafeRequest(options)
  const target = createTarget(options.url)
  const health = await checkHealth(target)
  const effect = await checkEffect(target, health.contract, safe)
  const steps = [...health.steps, ...effect]
  const passed = steps.every(({ result }) => result !== 'failed')
  const report = { version: 1, url: target.base, passed, steps }
  print(options.json ? `${JSON.stringify(report, null, 2)}\n` : toText(steps))
  if (!passed) process.exitCode = 1
}

function toSafeRequest({ path, method, data, header }: Options): SafeRequest | null {
  if (path === undefined) {
    if (data === undefined && method === undefined && header === undefined) return null
    throw new Failure('--method, --data and --header require --path.', 2)
  }
  if (!path.startsWith('/')) {
    throw new Failure(`--path must begin with a slash: ${toVisible(path)}`, 2)
  }
  return {
    path,
    method: method?.toUpperCase() ?? 'POST',
    body: data ?? null,
    headers: readHeaders(header ?? [], process.env),
  }
}

function toText(steps: readonly Step[]): string {
  const lines = steps.map(({ step, result, detail }) => {
    return `${result.padEnd(8)}${step.padEnd(18)}${toVisible(detail)}\n`
  })
  const failed = steps.filter(({ result }) => result === 'failed').length
  return `${lines.join('')}${failed === 0 ? 'No step failed.' : `Steps that failed: ${failed}.`}\n`
}
