/**
 * Writes the dashboard and the alert rules. Run it after a query has changed.
 *
 *     node ops/build.ts
 */
import { writeFileSync } from 'node:fs'
import path from 'node:path'

import { stringify } from 'yaml'

import { toAlerts } from './grafana/alerts.ts'
import { toDashboard } from './grafana/dashboard.ts'

const write = (name: string, text: string) =>
  writeFileSync(path.join(import.meta.dirname, name), text)

write('grafana-dashboard.json', `${JSON.stringify(toDashboard(), null, 2)}\n`)
write('alerts.yaml', stringify(toAlerts(), { lineWidth: 0, aliasDuplicateObjects: false }))
