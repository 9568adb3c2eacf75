import type { OnceContext } from '../core/function/once-context.ts'
import type { LedgerGateway } from './claims.ts'

/** Finds the guarded function that runs, without being given its context. */
interface Ambient {
  run<result>(context: OnceContext, work: () => result): result
  getStore(): OnceContext | undefined
}

interface Hooks {
  readonly AsyncLocalStorage: new () => Ambient
}

interface Process {
  readonly getBuiltinModule?: (name: string) => Hooks | undefined
}

/** `null` where the runtime has none, as in browsers; `undefined`: not looked for yet. */
let ambient: Ambient | null | undefined

function findAmbient(): Ambient | null {
  if (ambient === undefined) {
    const { process } = globalThis as { readonly process?: Process }
    const hooks = process?.getBuiltinModule?.('node:async_hooks')
    ambient = hooks === undefined ? null : new hooks.AsyncLocalStorage()
  }
  return ambient
}

/** Contexts of functions that run, with which they may call others. */
const contexts = new WeakSet<object>()

/** Who calls a guarded function: the gateway, and the guarded function that runs, if one does. */
export function findOuter(first: object) {
  const isContext = contexts.has(first)
  const outer = isContext ? (first as OnceContext) : findAmbient()?.getStore()
  return { env: (isContext ? outer?.env : first) as LedgerGateway, outer }
}

/** Runs a function, so that others that it calls find its context. */
export function runWithin<result>(context: OnceContext, work: () => result): result {
  contexts.add(context)
  const storage = findAmbient()
  return storage === null ? work() : storage.run(context, work)
}
