/** One column of a table: its heading, and what a cell of it holds. */
export interface Column<row> {
  readonly title: string
  readonly cell: (row: row) => string | Node
  readonly isNumber?: boolean
}

/** Fills a table with rows, or with a word about there being none. */
export function fillTable<row>(
  table: HTMLTableElement,
  columns: readonly Column<row>[],
  rows: readonly row[],
  none: string,
): void {
  const head = document.createElement('thead')
  const headings = head.insertRow()
  for (const { title, isNumber } of columns) {
    const heading = document.createElement('th')
    heading.scope = 'col'
    heading.textContent = title
    heading.classList.toggle('number', isNumber === true)
    headings.append(heading)
  }
  const body = document.createElement('tbody')
  for (const row of rows) {
    const line = body.insertRow()
    for (const { cell, isNumber } of columns) {
      const field = line.insertCell()
      field.append(cell(row))
      field.classList.toggle('number', isNumber === true)
    }
  }
  if (rows.length === 0) {
    const field = body.insertRow().insertCell()
    field.colSpan = columns.length
    field.className = 'none'
    field.textContent = none
  }
  table.replaceChildren(head, body)
}

/** A share as a bar with its percentage. */
export function share(part: number): HTMLElement {
  const meter = document.createElement('span')
  meter.className = 'share'
  const bar = document.createElement('span')
  bar.className = 'bar'
  bar.style.setProperty('--part', String(Math.min(1, part)))
  bar.setAttribute('aria-hidden', 'true')
  meter.append(bar, formatShare(part))
  return meter
}

const COUNT = new Intl.NumberFormat('en')
const SHARE = new Intl.NumberFormat('en', { style: 'percent', maximumFractionDigits: 1 })

export const formatCount = (value: number): string => COUNT.format(value)
export const formatShare = (value: number): string => SHARE.format(value)

/** Milliseconds for people. */
export function formatMs(value: number): string {
  if (value < 1_000) return `${Math.round(value)} ms`
  return value < 60_000 ? `${(value / 1_000).toFixed(1)} s` : formatAge(value / 1_000)
}

/** Seconds for people: the two largest units. */
export function formatAge(seconds: number): string {
  const units = [
    ['d', 86_400],
    ['h', 3_600],
    ['min', 60],
    ['s', 1],
  ] as const
  let rest = Math.floor(seconds)
  const parts = units.flatMap(([unit, size]) => {
    const count = Math.floor(rest / size)
    rest -= count * size
    return count > 0 ? [`${count} ${unit}`] : []
  })
  return parts.slice(0, 2).join(' ') || '0 s'
}

/** A long name, shortened for the eye only. */
export function short(name: string): HTMLElement {
  const code = document.createElement('code')
  code.textContent = name.length > 14 ? `${name.slice(0, 12)}…` : name || '—'
  code.title = name
  if (name.length > 14) code.setAttribute('aria-label', name)
  return code
}
