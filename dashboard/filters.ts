import { parseDuration } from '../src/core/duration.ts'
import type { Filters } from './api.ts'
import { formatDuration } from './format.ts'
import { cut, element } from './page.ts'

const form = element('filters', HTMLFormElement)

/** The reader's preferences, which are not part of a shared view. */
const OWN = ['refresh', 'theme']

/** What the page is narrowed to. */
export function readFilters(): Filters {
  return { since: valueOf('since'), route: valueOf('route'), tenant: valueOf('tenant') }
}

/** A choice of the reader, by its name. */
export function readChoice(name: 'refresh' | 'theme'): string {
  return field(name).value
}

/** Calls back when a choice changes, or the reader submits it again. */
export function onChoice(chosen: () => void): void {
  form.addEventListener('change', () => {
    keep()
    chosen()
  })
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    keep()
    chosen()
  })
}

/** Restores the filters from the address, and the reader's preferences from the browser. */
export function restoreFilters(): void {
  const asked = new URL(location.href).searchParams
  offerSince(asked.get('since') ?? '')
  const route = asked.get('route') ?? ''
  if (route !== '') select('route').add(new Option(cut(route), route, false, true))
  field('tenant').value = asked.get('tenant') ?? ''
  for (const name of OWN) {
    const value = localStorage.getItem(`hapax-${name}`) ?? ''
    if ([...select(name).options].some((option) => option.value === value))
      field(name).value = value
  }
}

/** Routes that have had requests can be chosen; the chosen one stays, even without any. */
export function offerRoutes(routes: readonly string[]): void {
  const list = select('route')
  const options = [...list.options]
  const offered = new Set(options.map(({ value }) => value))
  const gone = options.filter(
    ({ value, selected }) => value !== '' && !selected && !routes.includes(value),
  )
  for (const option of gone) option.remove()
  for (const route of routes) if (!offered.has(route)) list.add(new Option(cut(route), route))
}

/** The address may have any duration, also one that the list does not have. */
function offerSince(since: string): void {
  if ((parseDuration(since) ?? 0) === 0) return
  const list = select('since')
  const isOffered = [...list.options].some(({ value }) => value === since)
  if (!isOffered) list.add(new Option(formatDuration(since), since))
  list.value = since
}

/** Keeps the filters in the address, so that a view can be shared, and preferences in the browser. */
function keep(): void {
  const url = new URL(location.href)
  for (const [name, value] of Object.entries(readFilters())) {
    if (value === '') url.searchParams.delete(name)
    else url.searchParams.set(name, value)
  }
  history.replaceState(null, '', url)
  for (const name of OWN) localStorage.setItem(`hapax-${name}`, field(name).value)
}

function field(name: string): HTMLSelectElement | HTMLInputElement {
  return form.elements.namedItem(name) as HTMLSelectElement | HTMLInputElement
}

const valueOf = (name: string) => field(name).value.trim()

function select(name: string): HTMLSelectElement {
  return field(name) as HTMLSelectElement
}
