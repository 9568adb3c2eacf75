import type { OperatorView, TimelinePage } from '../src/core/operation/operator-view.ts'
import { ask } from './api.ts'
import { formatTime } from './format.ts'
import { morph } from './morph.ts'
import { element, fillTerms, make, named, say } from './page.ts'

type Operation = OperatorView & Partial<TimelinePage>

const dialog = element('operation', HTMLDialogElement)
dialog.addEventListener('close', () => {
  history.replaceState(null, '', location.pathname + location.search)
})

/** Shows an operation with its timeline. @throws {Error} When there is none, or it cannot be read. */
export async function showOperation(id: string): Promise<void> {
  const operation = await ask<Operation>(`/operations/${encodeURIComponent(id)}`)
  fillTerms(element('operation-facts', HTMLDListElement), [
    ['Id', operation.id],
    ['Route', operation.operation],
    ['Tenant', operation.tenant],
    ['State', operation.reason ? `${operation.state} (${operation.reason})` : operation.state],
    ['Attempts', String(operation.fence)],
    ['Correlation id', operation.correlationId],
    ['Begun', time(operation.createdAt)],
    ['Settled', time(operation.settledAt)],
    ['Forgotten', time(operation.expiresAt)],
    ['When unknown', operation.recovery],
    ['Next attempt', time(operation.nextAttemptAt)],
    ['Events waiting', String(operation.pendingEvents)],
  ])
  morph(
    element('operation-timeline', HTMLOListElement),
    operation.timeline.map(({ at, what, detail = {} }) => {
      const facts = Object.entries(detail).map(([name, value]) => named(`${name} ${value}`))
      const items = facts.flatMap((fact) => [' · ', fact])
      return make('li', {}, `${time(at)}  `, named(what), ...items)
    }),
  )
  say('operation-hint', toHint(operation))
  const commands = document.createTextNode(commandsOf({ ...operation, id }).join('\n'))
  morph(element('operation-commands', HTMLPreElement), [commands])
  if (!dialog.open) dialog.showModal()
}

function toHint({ id, isCut = false, analytics }: Operation): string {
  if (analytics === 'unavailable') {
    return 'The requests are missing because Analytics Engine does not respond.'
  }
  const all = `npm run --silent hapax -- analytics operation ${id}`
  return isCut ? `Showing only the first 1,000 data points. To see all of them, run ${all}` : ''
}

const time = (at: string | undefined) => (at === undefined ? '—' : formatTime(at))

function commandsOf({ id, state }: Operation): readonly string[] {
  const command = 'npm run --silent hapax -- admin'
  if (state === 'unknown') {
    return [
      `${command} resolve ${id} --outcome not_executed`,
      `${command} resolve ${id} --outcome succeeded --status 201 --body-file answer.json`,
    ]
  }
  if (state === 'in_progress') return [`${command} release ${id}`]
  return [`${command} erase ${id} --yes`]
}
