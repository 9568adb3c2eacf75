import type { Finding } from './finding.ts'
import type { Project } from './project.ts'

/** Warns of tenants that callers choose themselves. */
export function checkTenants({ source }: Project): Finding[] {
  const calls = (source?.calls ?? []).filter(({ callee }) => callee === 'anonymous')
  return calls.map(({ file, line }) => ({
    rule: 'tenant-anonymous',
    severity: 'warning',
    what: `Callers without credentials have a tenant (${file}:${line}).`,
    why: 'All of them share the keys and the stored responses that this tenant has. Use credential or claim unless the routes are public.',
    change: { file, line, how: 'replace', text: "credential('Authorization')" },
  }))
}
