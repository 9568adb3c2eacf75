import type { RowOf } from '../src/analytics/queries.ts'
import type { StuckView } from '../src/core/operation/operator-view.ts'
import { type Filters, type Found, isNarrowed, query, SignInNeeded } from './api.ts'
import { offerRoutes, onChoice, readChoice, readFilters, restoreFilters } from './filters.ts'
import { showConflicts, showKeyless, showLatency } from './lists.ts'
import { morph } from './morph.ts'
import { showOperation } from './operation.ts'
import { element, say } from './page.ts'
import { loadPart, type Part, sayConfigured, sayFault } from './parts.ts'
import { askToSignIn, isAsking, showSignedIn, startSession } from './session.ts'
import { type Asker, sayFailed, sayUpdated } from './status.ts'
import { showSummary, type Summary } from './summary.ts'
import { redrawTraffic, showTraffic, type Traffic } from './traffic.ts'
import { type Letter, onReadOn, showLetters, showUnknown, withAges } from './waiting.ts'
import { type Listed, WholeList } from './whole-list.ts'

const main = element('main', HTMLElement)
const stuckList = new WholeList<StuckView>('/stuck', withAges)
const letterList = new WholeList<Letter>('/dead-letters')

/** What the page is made of; each part is loaded, fails and comes back by itself. */
interface Loaded {
  readonly stuck: Listed<StuckView>
  readonly letters: Listed<Letter>
  readonly summary: Found<Summary>
  readonly traffic: Found<Traffic>
  readonly conflicts: Found<RowOf<'conflicts'>>
  readonly keyless: Found<RowOf<'keyless'>>
  /** Of all routes, to choose from; where nothing is narrowed, `keyless` is that. */
  readonly routes: Found<RowOf<'keyless'>>
  readonly latency: Found<RowOf<'latency'>>
  readonly unknown: Found<RowOf<'unknown'>>
}

const LOADERS: { readonly [name in keyof Loaded]: (shown: Filters) => Promise<Loaded[name]> } = {
  stuck: () => stuckList.load(),
  letters: () => letterList.load(),
  summary: (shown) => query('summary', shown),
  traffic: (shown) => query('traffic', shown),
  conflicts: (shown) => query('conflicts', shown),
  keyless: (shown) => query('keyless', shown),
  routes: (shown) => query('keyless', { ...shown, route: '', tenant: '' }),
  latency: (shown) => query('latency', shown),
  unknown: (shown) => query('unknown', shown),
}
const NAMES = Object.keys(LOADERS) as (keyof Loaded)[]
const FIGURES = NAMES.filter((name) => name !== 'stuck' && name !== 'letters')

let parts: { readonly [name in keyof Loaded]?: Part<Loaded[name]> | undefined } = {}
let ofChoice = ''
let timer = 0
let turn = 0

/** Loads everything again. If a newer turn has begun, an older one shows nothing more. */
async function refresh(asker: Asker): Promise<void> {
  clearTimeout(timer)
  const own = (turn += 1)
  const shown = readFilters()
  if (asker === 'reader') main.setAttribute('aria-busy', 'true')
  // The figures of another choice must not stay if the new ones cannot be loaded.
  const chosen = JSON.stringify(shown)
  if (chosen !== ofChoice) parts = { stuck: parts.stuck, letters: parts.letters }
  ofChoice = chosen
  try {
    const names = NAMES.filter((name) => name !== 'routes' || isNarrowed(shown))
    const loads = names.map(async (name) => {
      const part = await loadPart<unknown>(() => LOADERS[name](shown), parts[name] ?? null)
      if (own !== turn) return
      parts = { ...parts, [name]: part }
      show(name, shown)
    })
    await Promise.all(loads)
    if (own !== turn) return
    sayLoaded(asker)
    await showFromHash()
  } catch (error) {
    if (own === turn) fail(error)
  } finally {
    if (own === turn) {
      main.removeAttribute('aria-busy')
      schedule()
    }
  }
}

function fail(error: unknown): void {
  if (error instanceof SignInNeeded) {
    sayFailed('Sign in to see the figures.')
    askToSignIn()
  } else {
    sayFailed(error instanceof Error ? error.message : 'The figures could not be loaded.')
  }
}

function sayLoaded(asker: Asker): void {
  showSignedIn()
  const failed = NAMES.flatMap((name) => (parts[name]?.fault === 'failed' ? [parts[name]] : []))
  const reasons = new Set(failed.map(({ because }) => because))
  const isAll = failed.length === Object.keys(parts).length
  if (isAll && reasons.size === 1) sayFailed([...reasons].join(''))
  else if (failed.length > 0) sayFailed('Some parts could not be loaded. See the messages below.')
  else sayUpdated(asker, toWaiting())
}

const toWaiting = () => ({
  stuck: parts.stuck?.value?.total ?? null,
  letters: parts.letters?.value?.total ?? null,
})

/** Shows a part, and what else stands on it. */
function show(name: keyof Loaded, shown: Filters): void {
  sayConfigured(FIGURES.every((figure) => parts[figure]?.fault !== 'not-configured'))
  VIEWS[name](shown)
}

const rowsOf = <row>(part: Part<Found<row>> | undefined) => part?.value?.rows

function showFigures<row>(
  name: 'conflicts' | 'keyless' | 'latency',
  part: Part<Found<row>> | undefined,
  showRows: (rows: readonly row[]) => void,
): void {
  sayFault(name, part)
  const rows = rowsOf(part)
  if (rows === undefined) morph(element(name, HTMLTableElement), [])
  else showRows(rows)
}

function offer(part: Part<Found<RowOf<'keyless'>>> | undefined): void {
  const rows = rowsOf(part)
  if (rows !== undefined) offerRoutes(rows.map(({ route }) => route))
}

function showTiles(shown: Filters): void {
  sayFault('summary', parts.summary)
  const [stuck, letters] = [parts.stuck?.value ?? null, parts.letters?.value ?? null]
  const row = parts.summary?.value == null ? null : parts.summary.value.rows[0]
  showSummary(row, { stuck, letters, isNarrowed: isNarrowed(shown) })
}

function showDoubtful(shown: Filters): void {
  const { unknown, stuck } = parts
  sayFault('unknown', stuck, unknown)
  const isAll = stuck?.value != null && unknown?.fault !== 'failed'
  showUnknown(unknown?.value ?? null, stuck?.value ?? null, { ...shown, isAll })
}

const VIEWS: Readonly<Record<keyof Loaded, (shown: Filters) => void>> = {
  summary: showTiles,
  traffic: () => {
    for (const id of ['traffic', 'trouble']) sayFault(id, parts.traffic)
    if (parts.traffic?.value != null) showTraffic(parts.traffic.value)
  },
  conflicts: () => {
    showFigures('conflicts', parts.conflicts, showConflicts)
    const isCut = parts.conflicts?.value?.isCut === true
    say('conflicts-hint', isCut ? 'Showing only the first 100.' : '')
  },
  keyless: (shown) => {
    showFigures('keyless', parts.keyless, showKeyless)
    if (!isNarrowed(shown)) offer(parts.keyless)
  },
  routes: () => offer(parts.routes),
  latency: () => showFigures('latency', parts.latency, showLatency),
  unknown: showDoubtful,
  stuck: (shown) => {
    showDoubtful(shown)
    showTiles(shown)
  },
  letters: (shown) => {
    sayFault('letters', parts.letters)
    if (parts.letters?.value == null) morph(element('letters', HTMLTableElement), [])
    else showLetters(parts.letters.value, shown)
    showTiles(shown)
  },
}

function schedule(): void {
  const seconds = Number(readChoice('refresh'))
  if (seconds === 0 || document.visibilityState === 'hidden' || isAsking()) return
  timer = window.setTimeout(() => void refresh('clock'), seconds * 1_000)
}

function applyTheme(): void {
  const theme = readChoice('theme')
  const { dataset } = document.documentElement
  if ((dataset['theme'] ?? '') === theme) return
  if (theme === '') delete dataset['theme']
  else dataset['theme'] = theme
  redrawTraffic()
}

async function showFromHash(): Promise<void> {
  const [, id] = /^#operation=([\w-]+)$/.exec(location.hash) ?? []
  if (id === undefined) return
  await showOperation(id).catch(fail)
}

restoreFilters()
applyTheme()
startSession(() => void refresh('reader'))
void refresh('reader')

for (const [id, list] of [['unknown', stuckList] as const, ['letters', letterList] as const]) {
  onReadOn(id, () => {
    list.readOn()
    void refresh('reader')
  })
}
onChoice(() => {
  applyTheme()
  void refresh('reader')
})
window.addEventListener('hashchange', () => void showFromHash())
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible' && !isAsking()) void refresh('clock')
})
