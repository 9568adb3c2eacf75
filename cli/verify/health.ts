import type { Contract, ContractOperation } from '../../src/core/response/contract.ts'
import { Failure } from '../failure.ts'
import { contractOf, readContract } from '../read-contract.ts'
import { type Step, toStep } from './step.ts'
import { type Target, toSeen } from './target.ts'

/** What was found of a deployment without executing anything. */
export interface Health {
  readonly steps: readonly Step[]
  /** `null` if there is none. */
  readonly contract: Contract | null
}

/**
 * Checks that Hapax answers. The requests have no credentials and nothing to execute: one lacks the
 * key that its route requires, and one asks for an operation that does not exist.
 */
export async function checkHealth(target: Target): Promise<Health> {
  const contract = await read(target)
  if (typeof contract === 'string') {
    const step = { step: 'contract', result: 'failed', detail: contract } as const
    return { steps: [step], contract: null }
  }
  const count = contract.operations.length
  const detail = `${count} protected route${count === 1 ? '' : 's'}`
  const steps = await Promise.all([
    checkProblemPage(target),
    checkKeyMissing(target, contract),
    checkTenantMissing(target),
  ])
  return { steps: [{ step: 'contract', result: 'passed', detail }, ...steps], contract }
}

async function read({ base }: Target): Promise<Contract | string> {
  try {
    return await readContract(contractOf(base))
  } catch (error) {
    if (error instanceof Failure) return error.message
    throw error
  }
}

async function checkProblemPage({ ask, path: below }: Target): Promise<Step> {
  const path = `${below}/_hapax/problems/key-missing`
  const reply = await ask({ path, headers: { Accept: 'text/markdown' } })
  const holds = typeof reply !== 'string' && reply.status === 200 && reply.body.includes('key')
  return toStep('problem page', holds, path, `${path} answers ${toSeen(reply)} instead of 200`)
}

async function checkKeyMissing({ ask }: Target, { operations }: Contract): Promise<Step> {
  const step = 'key missing'
  const operation = operations.find(isSafe)
  if (operation === undefined) {
    const detail = 'no route requires a key in a header'
    return { step, result: 'skipped', detail }
  }
  const { method: written, path: pattern } = operation
  const method = written === 'ALL' ? (operation.methods?.[0] ?? 'POST') : written
  const path = pattern.replaceAll(/:\w+/g, 'hapax-smoke')
  const reply = await ask({ path, method })
  const expected = operation.problems.find(({ type }) => type === 'key-missing')?.status ?? 400
  const holds =
    typeof reply !== 'string' &&
    reply.status === expected &&
    reply.headers.get('Hapax-Error') === 'key-missing'
  const asked = `${method} ${path} without a key`
  const what = `${expected} key-missing`
  return toStep(step, holds, `${asked}: ${what}`, `${asked}: ${toSeen(reply)} instead of ${what}`)
}

/** Whether a request without a key is rejected before anything else, on a path that can be written. */
function isSafe({ mode, key, path, method }: ContractOperation): boolean {
  return (
    mode === 'enforce' &&
    method !== 'GET' &&
    key.required &&
    key.sources.every((source) => source.in === 'header') &&
    !/[*{?]/.test(path)
  )
}

async function checkTenantMissing({ ask, path: below }: Target): Promise<Step> {
  const path = `${below}/_hapax/operations/${'0'.repeat(32)}`
  const reply = await ask({ path })
  const step = 'tenant missing'
  const asked = 'A request without credentials'
  if (typeof reply !== 'string' && reply.headers.get('Hapax-Error') === 'operation-not-found') {
    return {
      step,
      result: 'skipped',
      detail: `${asked} has a tenant: anonymous callers are allowed`,
    }
  }
  const holds =
    typeof reply !== 'string' &&
    reply.status === 401 &&
    reply.headers.get('Hapax-Error') === 'tenant-missing'
  const what = '401 tenant-missing'
  return toStep(step, holds, `${asked}: ${what}`, `${asked}: ${toSeen(reply)} instead of ${what}`)
}
