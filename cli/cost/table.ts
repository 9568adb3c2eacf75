import type { Bill } from './bill.ts'

/** Shows one bill with its quantities. */
export function toBillTable({ parts, usdPerMonth, usdPerMillion }: Bill): string {
  const rows = parts.map(({ name, quantity, included, usd }) => [
    name,
    toCount(quantity),
    toCount(included),
    toUsd(usd),
  ])
  return toTable([
    ['', 'a month', 'included', 'USD'],
    ...rows,
    ['Total a month', '', '', toUsd(usdPerMonth)],
    ['Per million operations', '', '', toUsd(usdPerMillion)],
  ])
}

/** Shows the bills of several placements side by side. */
export function toComparison(bills: readonly Bill[]): string {
  const names = new Set(bills.flatMap(({ parts }) => parts.map(({ name }) => name)))
  const rows = [...names].map((name) => [
    name,
    ...bills.map(({ parts }) => {
      const part = parts.find((one) => one.name === name)
      return part === undefined ? '' : toUsd(part.usd)
    }),
  ])
  return toTable([
    ['USD a month', ...bills.map(({ placement }) => placement)],
    ...rows,
    ['Total a month', ...bills.map(({ usdPerMonth }) => toUsd(usdPerMonth))],
    ['Per million operations', ...bills.map(({ usdPerMillion }) => toUsd(usdPerMillion))],
  ])
}

/** Shows what each number of operations costs, a month and per million operations. */
export function toTotals(bills: readonly (readonly Bill[])[]): string {
  const placements = (bills[0] ?? []).map(({ placement }) => placement)
  const rows = bills.map((row) => [
    toCount(row[0]?.operationsPerDay ?? 0),
    ...row.flatMap(({ usdPerMonth, usdPerMillion }) => [toUsd(usdPerMonth), toUsd(usdPerMillion)]),
  ])
  return toTable([
    ['Operations a day', ...placements.flatMap((placement) => [placement, 'per million'])],
    ...rows,
  ])
}

/** The first column reads from the left, numbers from the right. */
function toTable(rows: readonly (readonly string[])[]): string {
  const columns = rows[0] ?? []
  const widths = columns.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)))
  const lines = rows.map((row) =>
    row
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
  return `${lines.join('\n')}\n`
}

/** Small quantities need digits, large ones do not. */
export function toCount(quantity: number): string {
  const maximumFractionDigits = quantity < 10 ? 2 : 0
  return quantity.toLocaleString('en-US', { maximumFractionDigits })
}

function toUsd(usd: number): string {
  return usd.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 })
}
