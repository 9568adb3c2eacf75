import { readFileSync } from 'node:fs'
import path from 'node:path'

import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'

const root = path.resolve(import.meta.dirname, '../../..')
const read = (name: string) => readFileSync(path.join(root, name), 'utf8')

interface Rules {
  readonly groups: readonly {
    readonly rules: readonly { readonly alert: string; readonly expr: string }[]
  }[]
}

describe('the rules for Prometheus', () => {
  const { groups } = parse(read('ops/prometheus-rules.yaml')) as Rules
  const rules = groups.flatMap((group) => group.rules)
  const served = read('src/operators/prometheus.ts')

  it.each(rules)('$alert asks for figures that are served', ({ expr }) => {
    const names = expr.match(/hapax_\w+/g) ?? []
    expect(names).not.toEqual([])
    for (const name of names) expect(served).toMatch(new RegExp(`\\b${name}\\b`))
  })

  it('are all told of in docs/observability.md', () => {
    const page = read('docs/observability.md')
    for (const { alert } of rules) expect(page).toContain(alert)
  })
})
