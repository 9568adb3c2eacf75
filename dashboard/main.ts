import { ask, type Filters, isSignedIn, query, signIn, SignInNeeded, signOut } from './api.ts'
import { showConflicts, showKeyless, showLatency, showLetters, showUnknown } from './lists.ts'
import { showOperation } from './operation.ts'
import { element } from './page.ts'
import { showSummary, type Summary } from './summary.ts'
import { redrawTraffic, showTraffic, type Traffic } from './traffic.ts'

const filters = element('filters', HTMLFormElement)
const status = element('status', HTMLParagraphElement)
const main = element('main', HTMLElement)
const dialog = element('sign-in', HTMLDialogElement)
const dialogError = element('sign-in-error', HTMLParagraphElement)

let timer = 0
let turn = 0

restore()
applyTheme()
void refresh()

filters.addEventListener('change', () => {
  keep()
  applyTheme()
  void refresh()
})
filters.addEventListener('submit', (event) => {
  event.preventDefault()
  void refresh()
})
window.addEventListener('hashchange', () => void showFromHash())
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') void refresh()
})
dialog.addEventListener('close', () => {
  const token = dialog.querySelector('input')
  if (!token?.value) return
  signIn(token.value)
  token.value = ''
  void refresh()
})

/** Loads everything anew. What a newer turn has begun, an older one does not show. */
async function refresh(): Promise<void> {
  clearTimeout(timer)
  const own = (turn += 1)
  main.setAttribute('aria-busy', 'true')
  try {
    const shown = readFilters()
    const loaded = await load(shown)
    if (own !== turn) return
    loaded.forEach((show) => show())
    say(`Updated ${new Date().toLocaleTimeString()}.`, 'ok')
    await showFromHash()
  } catch (error) {
    if (own !== turn) return
    if (error instanceof SignInNeeded) return askToSignIn()
    say(error instanceof Error ? error.message : 'The figures could not be read.', 'failed')
  } finally {
    if (own === turn) {
      main.removeAttribute('aria-busy')
      schedule()
    }
  }
}

/** Everything is there before anything is shown, so that the figures of one moment stand together. */
async function load(shown: Filters): Promise<readonly (() => void)[]> {
  const [summary, traffic, conflicts, keyless, latency, unknown, stuck, letters] =
    await Promise.all([
      query<Summary>('summary', shown),
      query<Traffic>('traffic', shown),
      query<Parameters<typeof showConflicts>[0][number]>('conflicts', shown),
      query<Parameters<typeof showKeyless>[0][number]>('keyless', shown),
      query<Parameters<typeof showLatency>[0][number]>('latency', shown),
      query<Parameters<typeof showUnknown>[0][number]>('unknown', shown),
      ask<Parameters<typeof showUnknown>[1]>('/stuck?limit=100'),
      ask<Parameters<typeof showLetters>[0]>('/dead-letters?limit=100'),
    ])
  return [
    () => showSummary(summary.rows[0], stuck.entries.length, letters.entries.length),
    () => showTraffic(traffic),
    () => showConflicts(conflicts.rows),
    () => showKeyless(keyless.rows),
    () => offerRoutes(keyless.rows.map(({ route }) => route)),
    () => showLatency(latency.rows),
    () => showUnknown(unknown.rows, stuck, shown),
    () => showLetters(letters),
  ]
}

function readFilters(): Filters {
  const data = new FormData(filters)
  const text = (name: string) => ((data.get(name) as string | null) ?? '').trim()
  return { since: text('since'), route: text('route'), tenant: text('tenant') }
}

/** Routes that have had requests can be chosen; the chosen one stays, even without any. */
function offerRoutes(routes: readonly string[]): void {
  const select = field('route')
  const known = new Set([...select.options].map(({ value }) => value))
  for (const route of routes) if (!known.has(route)) select.add(new Option(route, route))
}

function field(name: string): HTMLSelectElement {
  return filters.elements.namedItem(name) as HTMLSelectElement
}

function schedule(): void {
  const seconds = Number(field('refresh').value)
  if (seconds === 0 || document.visibilityState === 'hidden' || dialog.open) return
  timer = window.setTimeout(() => void refresh(), seconds * 1_000)
}

function askToSignIn(): void {
  dialogError.textContent = isSignedIn() ? 'This token is not accepted.' : ''
  signOut()
  say('Sign in to see the figures.', 'failed')
  if (!dialog.open) dialog.showModal()
}

function say(text: string, state: 'ok' | 'failed'): void {
  status.textContent = text
  status.dataset['state'] = state
}

function applyTheme(): void {
  const theme = field('theme').value
  if (theme === '') delete document.documentElement.dataset['theme']
  else document.documentElement.dataset['theme'] = theme
  redrawTraffic()
}

/** What was chosen is in the address, so that a view can be shared; colours and refresh are the reader's own. */
function keep(): void {
  const url = new URL(location.href)
  for (const [name, value] of Object.entries(readFilters())) {
    if (value === '') url.searchParams.delete(name)
    else url.searchParams.set(name, value)
  }
  history.replaceState(null, '', url)
  for (const name of ['refresh', 'theme']) localStorage.setItem(`hapax-${name}`, field(name).value)
}

function restore(): void {
  for (const [name, value] of new URL(location.href).searchParams) {
    if (name === 'route' && value !== '') offerRoutes([value])
    const control = field(name)
    if (control !== null && ['since', 'route', 'tenant'].includes(name)) control.value = value
  }
  for (const name of ['refresh', 'theme']) {
    const value = localStorage.getItem(`hapax-${name}`)
    if (value !== null) field(name).value = value
  }
}

async function showFromHash(): Promise<void> {
  const [, id] = /^#operation=([\w-]+)$/.exec(location.hash) ?? []
  if (id === undefined) return
  await showOperation(id).catch((error: unknown) => {
    say(error instanceof Error ? error.message : 'The operation could not be read.', 'failed')
  })
}
