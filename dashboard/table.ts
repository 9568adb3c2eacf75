import { toVisible } from '../src/core/visible.ts'
import { morph } from './morph.ts'
import { cut, make, named } from './page.ts'

/** One column of a table: its heading and its cells. */
export interface Column<row> {
  readonly title: string
  readonly cell: (row: row) => string | Node
  /** A `name` may be long and breaks anywhere, a `number` never; a `picture` takes the rest of the room. */
  readonly kind?: 'name' | 'number' | 'picture'
}

/** What a table needs besides its rows. */
interface TableWords<row> {
  /** The text of a table without rows. */
  readonly none: string
  /** Identifies a row across refreshes. */
  readonly keyOf: (row: row) => string
}

/**
 * Fills a table with rows, or with a text if there are none. Roles are explicit, since a narrow place
 * shows rows as cards, which makes a browser forget that it is a table.
 */
export function fillTable<row>(
  table: HTMLTableElement,
  columns: readonly Column<row>[],
  rows: readonly row[],
  { none, keyOf }: TableWords<row>,
): void {
  const lines = rows.map((row) =>
    toRow(
      columns.map((column) => toCell(column, row)),
      keyOf(row),
    ),
  )
  if (lines.length === 0) {
    const span = String(columns.length)
    lines.push(toRow([make('td', { role: 'cell', colspan: span, class: 'none' }, none)]))
  }
  table.setAttribute('role', 'table')
  morph(table, [toGroup('thead', [toRow(columns.map(toHeading))]), toGroup('tbody', lines)])
}

function toGroup(name: 'thead' | 'tbody', rows: readonly HTMLElement[]): HTMLElement {
  return make(name, { role: 'rowgroup' }, ...rows)
}

function toRow(cells: readonly HTMLElement[], key?: string): HTMLElement {
  return make('tr', { role: 'row', 'data-key': key }, ...cells)
}

function toHeading<row>({ title, kind }: Column<row>): HTMLElement {
  return make('th', { scope: 'col', role: 'columnheader', class: kind }, title)
}

function toCell<row>({ title, kind, cell }: Column<row>, row: row): HTMLElement {
  const content = cell(row)
  const shown = typeof content === 'string' ? named(content) : content
  return make('td', { role: 'cell', 'data-label': title, class: kind }, shown)
}

/** An identifier, shortened for the eye only. */
export function short(name: string): HTMLElement {
  const shown = toVisible(name)
  const isLong = shown.length > 14
  const attributes = { title: shown, 'aria-label': isLong ? cut(name) : undefined }
  return make('code', attributes, isLong ? `${shown.slice(0, 12)}…` : shown || '—')
}

/** The name of a tenant, whole: two may differ in their last letter. */
export function tenantName(tenant: string): HTMLElement {
  return make('code', {}, named(tenant || '—'))
}
