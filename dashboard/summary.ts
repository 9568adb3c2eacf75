import type { RowOf } from '../src/analytics/queries.ts'
import type { StuckView } from '../src/core/operation/operator-view.ts'
import { formatAge, formatCount, formatShare } from './format.ts'
import { morph } from './morph.ts'
import { element, make } from './page.ts'
import type { Letter } from './waiting.ts'
import type { Listed } from './whole-list.ts'

/** The row of the query `summary`; `null`: the engine does not tell. */
export type Summary = { readonly [name in keyof RowOf<'summary'>]: number | null }

/** The lists of the operators now. Filters do not apply to them. */
export interface Waiting {
  /** `null`: it could not be read, or not yet. */
  readonly stuck: Listed<StuckView> | null
  readonly letters: Listed<Letter> | null
  readonly isNarrowed: boolean
}

interface Tile {
  readonly name: string
  readonly label: string
  /** `null`: not known. */
  readonly value: number | null
  readonly note?: string
  readonly tone?: string
  readonly isAlarm?: boolean
}

/**
 * Shows the figures that tell whether all is well.
 *
 * @param row `null`: it could not be read, so there are no figures of requests.
 */
export function showSummary(row: Summary | null | undefined, waiting: Waiting): void {
  const tiles = [...(row === null ? [] : tilesOf(row)), ...tilesOfNow(waiting)]
  morph(element('summary', HTMLDListElement), tiles.map(toTile))
}

function tilesOf(row: Summary | undefined): readonly Tile[] {
  // Without a row there were no requests. A figure that a row lacks is unknown, and not zero.
  const of = (name: keyof Summary) => (row === undefined ? 0 : (row[name] ?? null))
  const isSome = (name: keyof Summary) => (of(name) ?? 0) > 0
  const shareOf = (name: 'mismatch_share' | 'keyless_share') => {
    const share = of(name)
    return share === null ? '' : `${formatShare(share)} of requests`
  }
  const tile = (name: keyof Summary, label: string, more: Partial<Tile> = {}): Tile => {
    return { name, label, value: of(name), ...more }
  }
  return [
    tile('requests', 'Requests'),
    tile('executed', 'Executed', { tone: '--executed' }),
    tile('replayed', 'Replayed', { tone: '--replayed' }),
    tile('joined', 'Joined', { tone: '--joined' }),
    tile('blocked', 'Duplicates blocked', { note: 'not sent to the origin', tone: '--blocked' }),
    tile('mismatches', 'Mismatches', { note: shareOf('mismatch_share'), tone: '--mismatch' }),
    tile('keyless', 'Without a key', { note: shareOf('keyless_share'), tone: '--keyless' }),
    tile('rejected', 'Rejected'),
    tile('unknown', 'Outcome unknown', { tone: '--unknown', isAlarm: isSome('unknown') }),
    tile('recoveries', 'Recovered'),
    tile('store_errors', 'Store errors', {
      tone: '--store',
      isAlarm: isSome('store_errors'),
    }),
    ...(isSome('observed') ? [tile('observed', 'Only observed')] : []),
  ]
}

function tilesOfNow({ stuck, letters, isNarrowed }: Waiting): readonly Tile[] {
  const all = 'all routes and tenants'
  return [
    {
      name: 'stuck',
      label: 'Unknown now',
      value: stuck?.total ?? null,
      note: isNarrowed ? all : oldestOf(stuck),
      isAlarm: stuck?.total !== 0,
    },
    {
      name: 'letters',
      label: 'Dead letters',
      value: letters?.total ?? null,
      note: isNarrowed ? all : '',
      isAlarm: letters?.total !== 0,
    },
  ]
}

function oldestOf(stuck: Listed<StuckView> | null): string {
  const oldest = Math.max(0, ...(stuck?.entries ?? []).map(({ ageSeconds }) => ageSeconds))
  return oldest > 0 && stuck?.isWhole === true ? `oldest: ${formatAge(oldest)}` : ''
}

function toTile({ name, label, value, note, tone, isAlarm }: Tile): HTMLElement {
  const attributes = {
    'data-figure': name,
    'data-key': name,
    'data-alarm': isAlarm === true ? '' : undefined,
  }
  const figure = make('dd', {}, value === null ? '—' : formatCount(value))
  if (note) figure.append(make('small', {}, note))
  const tile = make('div', attributes, make('dt', {}, label), figure)
  if (tone !== undefined) tile.style.setProperty('--tone', `var(${tone})`)
  return tile
}
