import * as z from 'zod'

import type {
  Contract,
  ContractKeySource,
  ContractOperation,
} from '../src/core/response/contract.ts'
import { PRESETS } from '../src/core/response/preset.ts'
import { type RetryWord, WHAT_TO_DO } from '../src/core/response/retry-word.ts'
import { toVisible } from '../src/core/visible.ts'
import { Failure, reasonOf } from './failure.ts'
import { parseText, readText } from './text-file.ts'

const CONTRACT_PATH = '/.well-known/idempotency'
const PATIENCE_MS = 10_000

const seconds = z.number().nonnegative()
const words = z.array(z.string())

/** The members of each source besides `in` and `scope`. */
const SOURCES = {
  header: { name: z.string() },
  body: { pointer: z.string() },
  query: { name: z.string() },
  param: { name: z.string() },
  function: {},
  business: { pointers: words },
  repeatability: {},
  mcp: { meta: z.string() },
  batch: { items: z.string(), pointer: z.string(), size: z.number() },
} satisfies Readonly<Record<ContractKeySource['in'], z.ZodRawShape>>

/** Missing in deployments of earlier versions. */
const scope = z.enum(['tenant', 'operation']).optional()

const sources = Object.entries(SOURCES).map(([place, members]) =>
  z.object({ in: z.literal(place), ...members, scope }),
)
const KeySourceSchema = z.discriminatedUnion('in', sources as [(typeof sources)[number]])

const OperationSchema = z.object({
  operation: z.string(),
  method: z.string(),
  methods: words.optional(),
  path: z.string().startsWith('/'),
  mode: z.enum(['enforce', 'observe']),
  tenant: z.boolean().optional(),
  preset: z.enum(PRESETS),
  key: z.object({
    required: z.boolean(),
    sources: z.array(KeySourceSchema).min(1),
    format: z.enum(['any', 'uuid', 'pattern']),
    pattern: z.string().optional(),
    flags: z.string().optional(),
    minLength: z.int(),
    maxLength: z.int(),
  }),
  retentionSeconds: seconds,
  tombstoneSeconds: seconds,
  waitSeconds: seconds,
  timeoutSeconds: seconds,
  fingerprint: z.object({
    version: z.string(),
    ignore: words,
    dates: words,
    headers: words,
    query: z.union([z.boolean(), z.object({ ignore: words })]),
    by: z.enum(['nothing', 'function']).optional(),
  }),
  limits: z.object({ requestBytes: z.number(), responseBytes: z.number() }),
  unknown: z.enum(['hold', 'probe', 'resend']),
  probeGraceSeconds: seconds.optional(),
  respondAsync: z.boolean(),
  problems: z.array(
    z.object({
      // A newer deployment may have problems that this version does not know.
      type: z.string(),
      status: z.int().min(100).max(599),
      title: z.string(),
      retry: z.enum(Object.keys(WHAT_TO_DO) as RetryWord[]),
    }),
  ),
} satisfies Readonly<Record<keyof ContractOperation, z.ZodType>>)

const ContractSchema = z.object({ version: z.literal(1), operations: z.array(OperationSchema) })

/**
 * Reads a contract.
 *
 * @param from URL of a deployment or of the contract itself, or a file.
 * @throws Failure when there is none.
 */
export async function readContract(from: string): Promise<Contract> {
  const url = toContractUrl(from)
  const where = url?.href ?? from
  const text = url === null ? await readText(from) : await download(url)
  const parsed = ContractSchema.safeParse(parseText(text, where))
  if (parsed.success) return parsed.data as Contract
  const [issue] = parsed.error.issues
  const field = issue?.path.join('.') ?? ''
  throw new Failure(
    toVisible(
      `${where} is not an idempotency contract of version 1: ${field === '' ? '' : `${field}: `}${issue?.message}`,
    ),
  )
}

/**
 * Where a deployment publishes its contract: below the path of its URL, as with `hapax()` below a
 * path.
 */
export function contractOf(deployment: string): string {
  if (!URL.canParse(deployment)) return deployment
  const url = new URL(deployment)
  const base = url.pathname.replace(/\/+$/, '')
  if (!base.endsWith(CONTRACT_PATH)) url.pathname = `${base}${CONTRACT_PATH}`
  return url.href
}

function toContractUrl(from: string): URL | null {
  if (!/^https?:\/\//i.test(from)) return null
  if (!URL.canParse(from)) throw new Failure(`${toVisible(from)} is not a URL.`, 2)
  const url = new URL(from)
  if (url.pathname === '/') url.pathname = CONTRACT_PATH
  return url
}

async function download(url: URL): Promise<string> {
  try {
    const answer = await fetch(url, {
      headers: { Accept: 'application/json' },
      signal: AbortSignal.timeout(PATIENCE_MS),
    })
    if (answer.ok) return await answer.text()
    await answer.body?.cancel()
    throw new Failure(
      `${url.href} responded with ${answer.status}. Check that it is a Hapax deployment.`,
    )
  } catch (error) {
    if (error instanceof Failure) throw error
    throw new Failure(toVisible(`${url.href} could not be reached: ${reasonOf(error)}`))
  }
}
