import { element } from './page.ts'
import { formatCount, formatShare } from './table.ts'

/** The row of the query `summary`. */
export interface Summary {
  readonly requests: number
  readonly executed: number
  readonly replayed: number
  readonly joined: number
  readonly blocked: number
  readonly mismatches: number
  readonly mismatch_share: number
  readonly keyless: number
  readonly keyless_share: number
  readonly unknown: number
  readonly rejected: number
  readonly store_errors: number
  readonly recoveries: number
}

interface Tile {
  readonly name: string
  readonly label: string
  readonly value: number
  readonly note?: string
  readonly tone?: string
  readonly isAlarm?: boolean
}

/** Shows the figures that tell whether all is well. */
export function showSummary(row: Summary | undefined, stuck: number, letters: number): void {
  const of = (name: keyof Summary) => row?.[name] ?? 0
  const tiles: Tile[] = [
    { name: 'requests', label: 'Requests', value: of('requests') },
    { name: 'executed', label: 'Executed', value: of('executed'), tone: '--executed' },
    { name: 'replayed', label: 'Replayed', value: of('replayed'), tone: '--replayed' },
    { name: 'joined', label: 'Joined', value: of('joined'), tone: '--joined' },
    {
      name: 'blocked',
      label: 'Duplicates blocked',
      value: of('blocked'),
      note: 'kept from the origin',
      tone: '--blocked',
    },
    {
      name: 'mismatches',
      label: 'Mismatches',
      value: of('mismatches'),
      note: `${formatShare(of('mismatch_share'))} of requests`,
      tone: '--mismatch',
    },
    {
      name: 'keyless',
      label: 'Without a key',
      value: of('keyless'),
      note: `${formatShare(of('keyless_share'))} of requests`,
    },
    { name: 'rejected', label: 'Rejected', value: of('rejected') },
    { name: 'unknown', label: 'Met unknown', value: of('unknown'), isAlarm: of('unknown') > 0 },
    { name: 'recoveries', label: 'Recovered', value: of('recoveries') },
    {
      name: 'store_errors',
      label: 'Store errors',
      value: of('store_errors'),
      isAlarm: of('store_errors') > 0,
    },
    { name: 'stuck', label: 'Unknown now', value: stuck, isAlarm: stuck > 0 },
    { name: 'letters', label: 'Dead letters', value: letters, isAlarm: letters > 0 },
  ]
  element('summary', HTMLDListElement).replaceChildren(...tiles.map(toTile))
}

function toTile({ name, label, value, note, tone, isAlarm }: Tile): HTMLElement {
  const tile = document.createElement('div')
  tile.dataset['figure'] = name
  if (isAlarm === true) tile.dataset['alarm'] = ''
  if (tone !== undefined) tile.style.setProperty('--tone', `var(${tone})`)
  const term = document.createElement('dt')
  term.textContent = label
  const figure = document.createElement('dd')
  figure.textContent = formatCount(value)
  if (note !== undefined) {
    const small = document.createElement('small')
    small.textContent = note
    figure.append(small)
  }
  tile.append(term, figure)
  return tile
}
