import { parse } from 'jsonc-parser'
import * as z from 'zod'

const Tsconfig = z.object({
  compilerOptions: z
    .object({
      module: z.string().optional(),
      moduleResolution: z.string().optional(),
      types: z.array(z.string()).optional(),
    })
    .optional(),
})

/** Reads what concerns Hapax. Whatever is wrong with the file is reported by the compiler. */
function optionsOf(text: string | null) {
  const parsed = Tsconfig.safeParse(parse(text ?? ''))
  return parsed.success ? (parsed.data.compilerOptions ?? {}) : {}
}

/** Returns whether imports of files must name their extension. */
export function needsExtensions(text: string | null): boolean {
  const { module = '', moduleResolution = module } = optionsOf(text)
  return /^node(?:\d|next)/i.test(moduleResolution)
}

/** Says what a TypeScript project lacks for the types of the bindings. */
export function notesOnTypes(text: string | null): string[] {
  if (text === null) return []
  const { types } = optionsOf(text)
  if (types === undefined) return []
  const isThere = types.some((each) => /worker-configuration|@cloudflare\/workers-types/.test(each))
  return isThere
    ? []
    : [
        'tsconfig.json lists types, but not those of the Workers runtime. Add "./worker-configuration.d.ts", which npx wrangler types writes.',
      ]
}
