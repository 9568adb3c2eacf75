import { type Filters, isNarrowed, query, SignInNeeded } from './api.ts'
import { offerRoutes, onChoice, readChoice, readFilters, restoreFilters } from './filters.ts'
import {
  type Conflict,
  type Keyless,
  type Latency,
  showConflicts,
  showKeyless,
  showLatency,
} from './lists.ts'
import { showOperation } from './operation.ts'
import { element } from './page.ts'
import { askToSignIn, isAsking, showSignedIn, startSession } from './session.ts'
import { type Asker, sayFailed, sayUpdated } from './status.ts'
import { showSummary, type Summary } from './summary.ts'
import { redrawTraffic, showTraffic, type Traffic } from './traffic.ts'
import {
  type Letter,
  onReadOn,
  showLetters,
  showUnknown,
  type Stuck,
  type Unknown,
  withAges,
} from './waiting.ts'
import { WholeList } from './whole-list.ts'

const main = element('main', HTMLElement)
const stuckList = new WholeList<Stuck>('/stuck')
const letterList = new WholeList<Letter>('/dead-letters')

let timer = 0
let turn = 0

restoreFilters()
applyTheme()
startSession(() => void refresh('reader'))
void refresh('reader')

onReadOn('unknown', () => {
  stuckList.readOn()
  void refresh('reader')
})
onReadOn('letters', () => {
  letterList.readOn()
  void refresh('reader')
})
onChoice(() => {
  applyTheme()
  void refresh('reader')
})
window.addEventListener('hashchange', () => void showFromHash())
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible' && !isAsking()) void refresh('clock')
})

/** Loads everything anew. What a newer turn has begun, an older one does not show. */
async function refresh(asker: Asker): Promise<void> {
  clearTimeout(timer)
  const own = (turn += 1)
  if (asker === 'reader') main.setAttribute('aria-busy', 'true')
  try {
    const loaded = await load(readFilters())
    if (own !== turn) return
    loaded.show()
    showSignedIn()
    sayUpdated(asker, loaded.waiting)
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
    sayFailed(error instanceof Error ? error.message : 'The figures could not be read.')
  }
}

/** Everything is there before anything is shown, so that the figures of one moment stand together. */
async function load(shown: Filters) {
  const keylessRows = query<Keyless>('keyless', shown)
  const everywhere = isNarrowed(shown)
    ? query<Keyless>('keyless', { ...shown, route: '', tenant: '' })
    : keylessRows
  const [summary, traffic, conflicts, keyless, all, latency, unknown, stuck, letters] =
    await Promise.all([
      query<Summary>('summary', shown),
      query<Traffic>('traffic', shown),
      query<Conflict>('conflicts', shown),
      keylessRows,
      everywhere,
      query<Latency>('latency', shown),
      query<Unknown>('unknown', shown),
      stuckList.load().then(withAges),
      letterList.load(),
    ])
  const show = () => {
    showSummary(summary.rows[0], { stuck, letters, isNarrowed: isNarrowed(shown) })
    showTraffic(traffic)
    showConflicts(conflicts.rows)
    showKeyless(keyless.rows)
    offerRoutes(all.rows.map(({ route }) => route))
    showLatency(latency.rows)
    showUnknown(unknown.rows, stuck, shown)
    showLetters(letters, shown)
  }
  return { show, waiting: { stuck: stuck.total, letters: letters.total } }
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
