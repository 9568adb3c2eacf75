import type { ContractOperation } from '../../src/core/response/contract.ts'
import { Failure } from '../failure.ts'
import { contractOf, readContract } from '../read-contract.ts'
import type { Finding } from './finding.ts'
import { retentionShort, type RetryWindow } from './retry-window.ts'
import type { SourceCall } from './source.ts'

/** What a deployment is compared with. */
export interface Expectation {
  readonly window: RetryWindow
  /** Calls of the sources, to find the line of a route. */
  readonly calls: readonly SourceCall[]
}

/** Checks the contract of a running deployment. */
export async function checkDeployment(url: string, expected: Expectation): Promise<Finding[]> {
  try {
    const { operations } = await readContract(contractOf(url))
    if (operations.length === 0) return [noRoutes(url)]
    return operations.flatMap((operation) => checkOperation(operation, expected))
  } catch (error) {
    if (!(error instanceof Failure) || error.exitCode === 2) throw error
    return [
      {
        rule: 'contract-unreadable',
        severity: 'error',
        what: error.message,
        why: 'Every deployment publishes the contract of its routes at /.well-known/idempotency.',
      },
    ]
  }
}

const noRoutes = (url: string): Finding => ({
  rule: 'no-protected-route',
  severity: 'warning',
  what: `${url} has no protected route.`,
  why: 'Requests pass through without idempotency. Add protect or idempotent to a route.',
})

function checkOperation(operation: ContractOperation, expected: Expectation): Finding[] {
  const { retentionSeconds, tombstoneSeconds } = operation
  const route = toName(operation)
  const place = placeOf(operation, expected.calls)
  const kept = { retentionMs: retentionSeconds * 1_000, tombstoneMs: tombstoneSeconds * 1_000 }
  return [
    ...(operation.tenant === false ? [withoutTenant(route, place)] : []),
    ...retentionShort(route, kept, expected.window, place),
    ...(operation.mode === 'observe' ? [observed(route)] : []),
    ...(operation.key.required ? [] : [keyOptional(route)]),
  ]
}

const toName = ({ method, path }: ContractOperation) => `${method} ${path}`

/** The line that adds the route. An app can be mounted below a path. */
function placeOf({ path }: ContractOperation, calls: readonly SourceCall[]): SourceCall | null {
  const routes = calls.filter(({ text, inner }) => text !== null && inner.length > 0)
  return (
    routes.find(({ text }) => text === path) ??
    routes.find(({ text }) => text !== null && path.endsWith(text)) ??
    null
  )
}

const withoutTenant = (route: string, place: SourceCall | null): Finding => ({
  rule: 'tenant-missing',
  severity: 'error',
  what: `${route} has no tenant.`,
  why: 'No hapax() or createGateway comes before this route, so it answers 500. Without a tenant, one caller could read the response of another.',
  ...(place !== null && {
    change: {
      file: place.file,
      line: place.line,
      how: 'add',
      text: "app.use(hapax({ tenant: credential('Authorization') }))",
    } as const,
  }),
})

const observed = (route: string): Finding => ({
  rule: 'route-observed',
  severity: 'note',
  what: `${route} only observes.`,
  why: "Duplicates are counted and still executed. Remove mode: 'observe' to prevent them.",
})

const keyOptional = (route: string): Finding => ({
  rule: 'key-optional',
  severity: 'note',
  what: `${route} accepts requests without a key.`,
  why: 'Such a request is executed at every retry.',
})
