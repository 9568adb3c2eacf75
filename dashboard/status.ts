import { element } from './page.ts'

const status = element('status', HTMLParagraphElement)
const announcer = element('announcer', HTMLParagraphElement)

/** Who asked for the figures. An update by the clock is announced only if it is news. */
export type Asker = 'reader' | 'clock'

/** How many wait for an operator. */
interface Waiting {
  readonly stuck: number | null
  readonly letters: number | null
}

let last: Waiting = { stuck: 0, letters: 0 }

/** Says that the figures are up to date; aloud if more operations wait, or if the reader asked. */
export function sayUpdated(asker: Asker, now: Waiting): void {
  const isWorse = isMore(now.stuck, last.stuck) || isMore(now.letters, last.letters)
  const isBack = status.dataset['state'] === 'failed'
  last = now
  show(`Updated ${new Date().toLocaleTimeString()}.`, 'ok')
  if (asker === 'clock' && !isWorse && !isBack) return
  const [stuck, letters] = [now.stuck, now.letters].map((count) => count ?? 'not available')
  announce(`Updated. Unknown now: ${stuck}. Dead letters: ${letters}.`)
}

/** An unknown count may be more. */
const isMore = (now: number | null, before: number | null) =>
  now === null ? before !== null : now > (before ?? 0)

/** Says why the figures are not up to date; aloud, but once. */
export function sayFailed(text: string): void {
  const isNews = status.textContent !== text
  show(text, 'failed')
  if (isNews) announce(text)
}

function show(text: string, state: 'ok' | 'failed'): void {
  status.textContent = text
  status.dataset['state'] = state
}

function announce(text: string): void {
  announcer.textContent = text
}
