import type { Contract, ContractOperation } from '../../src/core/response/contract.ts'
import { PROBLEMS, type ProblemSlug } from '../../src/core/response/problem.ts'

/** Problems as a contract tells of them. */
export function problemsOf(...slugs: readonly ProblemSlug[]): ContractOperation['problems'] {
  return slugs.map((type) => {
    const { status, title, retry } = PROBLEMS[type]
    return { type, status, title, retry }
  })
}

/** A key of a route, `Idempotency-Key` unless said otherwise. */
export function keyOf(over: Partial<ContractOperation['key']> = {}): ContractOperation['key'] {
  return {
    required: true,
    sources: [{ in: 'header', name: 'Idempotency-Key' }],
    format: 'any',
    minLength: 1,
    maxLength: 255,
    ...over,
  }
}

/** A contract of routes that are written as `POST /orders/:id`. */
export function contractOf(routes: Readonly<Record<string, Partial<ContractOperation>>>): Contract {
  const operations = Object.entries(routes).map(([route, over]): ContractOperation => {
    const [method = '', path = ''] = route.split(' ')
    return { ...DEFAULT, operation: route, method, path, ...over }
  })
  return { version: 1, operations }
}

const DEFAULT = {
  mode: 'enforce',
  preset: 'default',
  key: keyOf(),
  retentionSeconds: 86_400,
  tombstoneSeconds: 0,
  waitSeconds: 10,
  timeoutSeconds: 30,
  fingerprint: { version: '1', ignore: [], dates: [], headers: [], query: true },
  limits: { requestBytes: 1_048_576, responseBytes: 8_388_608 },
  unknown: 'hold',
  respondAsync: true,
  problems: problemsOf('key-missing', 'key-reused', 'in-progress', 'store-unavailable'),
} as const
