import { toVisible } from '../src/core/visible.ts'
import { morph } from './morph.ts'
import { element } from './page.ts'
import { cut, named } from './text.ts'

/** One column of a table: its heading, and what a cell of it holds. */
export interface Column<row> {
  readonly title: string
  readonly cell: (row: row) => string | Node
  /** A `name` may be long and breaks anywhere, a `number` never; a `picture` takes what room there is. */
  readonly kind?: 'name' | 'number' | 'picture'
}

/** What a table says besides its rows. */
export interface TableWords<row> {
  /** Where there are no rows. */
  readonly none: string
  /** What is the same for a row now and after a refresh. */
  readonly keyOf: (row: row) => string
}

/**
 * Fills a table with rows, or with a word about there being none. Roles are said, since a narrow
 * place shows rows as cards, which makes a browser forget that it is a table.
 */
export function fillTable<row>(
  table: HTMLTableElement,
  columns: readonly Column<row>[],
  rows: readonly row[],
  { none, keyOf }: TableWords<row>,
): void {
  const lines = rows.map((row) => {
    const line = toRow(columns.map((column) => toCell(column, row)))
    line.dataset['key'] = keyOf(row)
    return line
  })
  if (lines.length === 0) lines.push(toRow([toWord(none, columns.length)]))
  table.setAttribute('role', 'table')
  morph(table, [toGroup('thead', [toRow(columns.map(toHeading))]), toGroup('tbody', lines)])
}

/** Says something below a heading, or nothing. */
export function say(id: string, text: string): void {
  const hint = element(id, HTMLParagraphElement)
  const shown = toVisible(text)
  if (hint.textContent !== shown) hint.textContent = shown
  hint.hidden = text === ''
}

function toGroup(name: 'thead' | 'tbody', rows: readonly HTMLElement[]): HTMLElement {
  const group = document.createElement(name)
  group.setAttribute('role', 'rowgroup')
  group.append(...rows)
  return group
}

function toRow(cells: readonly HTMLElement[]): HTMLElement {
  const row = document.createElement('tr')
  row.setAttribute('role', 'row')
  row.append(...cells)
  return row
}

function toHeading<row>({ title, kind }: Column<row>): HTMLElement {
  const heading = document.createElement('th')
  heading.scope = 'col'
  heading.setAttribute('role', 'columnheader')
  if (kind !== undefined) heading.className = kind
  heading.textContent = title
  return heading
}

function toCell<row>({ title, kind, cell }: Column<row>, row: row): HTMLElement {
  const field = document.createElement('td')
  field.setAttribute('role', 'cell')
  field.dataset['label'] = title
  if (kind !== undefined) field.className = kind
  const content = cell(row)
  field.append(typeof content === 'string' ? named(content) : content)
  return field
}

function toWord(word: string, span: number): HTMLElement {
  const field = document.createElement('td')
  field.setAttribute('role', 'cell')
  field.colSpan = span
  field.className = 'none'
  field.textContent = word
  return field
}

/** An identifier, shortened for the eye only. */
export function short(name: string): HTMLElement {
  const code = document.createElement('code')
  const shown = toVisible(name)
  code.textContent = shown.length > 14 ? `${shown.slice(0, 12)}…` : shown || '—'
  code.title = shown
  if (shown.length > 14) code.setAttribute('aria-label', cut(name))
  return code
}

/** The name of a tenant, whole: two may differ in their last letter. */
export function tenantName(tenant: string): HTMLElement {
  const code = document.createElement('code')
  code.append(named(tenant || '—'))
  return code
}
