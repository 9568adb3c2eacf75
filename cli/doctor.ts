import path from 'node:path'

import { parseDuration } from '../src/core/duration.ts'
import { toVisible } from '../src/core/visible.ts'
import { checkBindings, checkClasses } from './doctor/bindings.ts'
import { checkDataset } from './doctor/dataset.ts'
import { checkDeployment } from './doctor/deployment.ts'
import type { Checked, Finding, Unchecked } from './doctor/finding.ts'
import { checkOrigins, checkReachable } from './doctor/origin.ts'
import { type Project, readProject } from './doctor/project.ts'
import { bySeverity, type Report, toText } from './doctor/report.ts'
import { checkWrittenRetention, DEFAULT_WINDOW, type RetryWindow } from './doctor/retry-window.ts'
import { checkRuntime } from './doctor/runtime.ts'
import { checkSecrets, deployedSecrets, localSecrets } from './doctor/secrets.ts'
import { checkTenants } from './doctor/tenants.ts'
import { Failure } from './failure.ts'
import { parseOptions } from './parse-options.ts'
import { print } from './print.ts'

const HELP = `Usage: hapax doctor [directory] [options]

Checks the configuration and the sources of a Worker, and prints each problem with the line to
change. Exit codes: 0 no error was found, 1 an error was found, 2 usage error.

  --env <name>            check this environment of the configuration
  --url <URL>             also check the contract of this deployment, or of a running wrangler dev
  --retry-window <time>   how long your clients repeat a request (default: 24h)
  --remote                ask Cloudflare for the names of the deployed secrets (wrangler secret list)
  --offline               do not send requests to the origins
  --json                  machine-readable output
  -h, --help              show this help

The default of --retry-window covers SDKs, which retry for seconds to minutes, and job frameworks,
which retry for hours. Webhooks are repeated for days (Stripe: 3 days), and messages for as long as
their queue keeps them (Cloudflare Queues and SQS: 4 days by default): name what applies to you.

If CLOUDFLARE_ACCOUNT_ID and CLOUDFLARE_API_TOKEN are set, the dataset is read too. No secret is
ever printed.
`

const OPTIONS = {
  env: { type: 'string' },
  url: { type: 'string' },
  'retry-window': { type: 'string' },
  remote: { type: 'boolean' },
  offline: { type: 'boolean' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

type Options = ReturnType<typeof parse>['values']

const parse = (args: string[]) =>
  parseOptions({ args, options: OPTIONS, allowPositionals: true }, HELP)

/** Runs `hapax doctor`. Sets the exit code 1 if it finds an error. @throws Failure */
export async function doctor(args: string[]): Promise<void> {
  const { values: options, positionals } = parse(args)
  if (options.help) {
    print(HELP)
    return
  }
  const [directory = '.', ...more] = positionals
  if (more.length > 0) throw new Failure(`Name one directory.\n\n${HELP}`, 2)
  const project = await readProject(path.resolve(directory), options.env)
  const report = await examine(project, options)
  print(options.json ? `${JSON.stringify(report, null, 2)}\n` : toText(report))
  if (report.findings.some(({ severity }) => severity === 'error')) process.exitCode = 1
}

async function examine(project: Project, options: Options): Promise<Report> {
  const window = toWindow(options['retry-window'])
  const asked = await Promise.all([
    examineSecrets(project, options),
    options.offline
      ? [{ check: 'origin-reachable', reason: '--offline is set.' }]
      : toList(checkReachable(project)),
    examineRoutes(project, window, options.url),
    toList(checkDataset(project, process.env)),
  ])
  const found = [
    ...checkBindings(project),
    ...checkClasses(project),
    ...checkRuntime(project),
    ...checkOrigins(project),
    ...checkTenants(project),
    ...asked.flat(),
  ]
  return {
    version: 1,
    configuration: path.basename(project.config.file),
    environment: project.environment ?? null,
    findings: bySeverity(found.filter((one) => 'rule' in one)),
    notChecked: found.filter((one) => 'check' in one),
  }
}

type Entry = Finding | Unchecked

const toList = async (checked: Promise<Checked>): Promise<readonly Entry[]> =>
  [await checked].flat()

function toWindow(text: string | undefined): RetryWindow {
  if (text === undefined) return DEFAULT_WINDOW
  const ms = parseDuration(text)
  if (ms !== null) return { ms, text, isGiven: true }
  throw new Failure(`--retry-window must be a duration such as 24h or 3d: ${toVisible(text)}`, 2)
}

async function examineSecrets(project: Project, options: Options): Promise<Entry[]> {
  const known = options.remote
    ? await deployedSecrets(project)
    : {
        check: 'deployed-secrets',
        reason: 'Only the file for local servers was read. Add --remote.',
      }
  if ('check' in known) return [...checkSecrets(project, localSecrets(project)), known]
  return checkSecrets(project, known)
}

async function examineRoutes(
  project: Project,
  window: RetryWindow,
  url: string | undefined,
): Promise<Entry[]> {
  if (url !== undefined) {
    return checkDeployment(url, { window, calls: project.source?.calls ?? [] })
  }
  const reason = 'Name a deployment or a running wrangler dev with --url.'
  return [...checkWrittenRetention(project, window), { check: 'deployment', reason }]
}
