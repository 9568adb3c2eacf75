import { BACK_AT_S, END_S, FAILS_FROM_S } from './simulate.ts'

/** A line of the picture. */
export interface Curve {
  readonly label: string
  /** Its look, of `STYLE`. */
  readonly name: 'silent' | 'told' | 'budgeted' | 'whole'
  /** As of `StormResult`. */
  readonly load: readonly number[]
}

const [WIDTH, HEIGHT] = [800, 416]
const PLOT = { left: 64, top: 60, right: 780, bottom: 388 }
/** The load is drawn on a logarithmic scale: what is less than the lowest is drawn there. */
const [LOWEST, HIGHEST] = [0.1, 100]

/** Readable on light and on dark pages, which show through. */
const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .grid { stroke: #24292f; stroke-opacity: 0.15 }
  .outage { fill: #24292f; fill-opacity: 0.08 }
  .capacity { stroke: #24292f; stroke-dasharray: 5 4 }
  .curve { fill: none; stroke-width: 2 }
  .silent { stroke: #cf222e } .told { stroke: #bc4c00 }
  .budgeted { stroke: #0969da } .whole { stroke: #1a7f37 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .grid, .capacity { stroke: #e6edf3 } .outage { fill: #e6edf3; fill-opacity: 0.12 }
    .silent { stroke: #ff7b72 } .told { stroke: #ffa657 }
    .budgeted { stroke: #79c0ff } .whole { stroke: #56d364 }
  }`

/** Draws the calls that reach the origin over time, as an SVG. @param capacity What the origin can serve. */
export function drawStorms(curves: readonly Curve[], capacity: number): string {
  const { left, right, top, bottom } = PLOT
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="title">
<style>${STYLE}
</style>
<text id="title" class="title" x="${left}" y="20">Calls at the origin in a second, per operation that begins in a second</text>
${curves.map(drawLegend).join('\n')}
<rect class="outage" x="${xOf(FAILS_FROM_S)}" y="${top}" width="${xOf(BACK_AT_S) - xOf(FAILS_FROM_S)}" height="${bottom - top}"/>
<text x="${xOf((FAILS_FROM_S + BACK_AT_S) / 2)}" y="${yOf(2.2)}" text-anchor="middle">the origin fails</text>
${[0.1, 1, 10, 100].map(drawLoad).join('\n')}
${[0, 40, 80, 120, 160].map(drawSecond).join('\n')}
<path class="capacity" d="M${left} ${yOf(capacity)}H${right}"/>
<text x="${right}" y="${yOf(capacity) - 6}" text-anchor="end">what the origin can serve</text>
${curves.map(drawCurve).join('\n')}
</svg>
`
}

const xOf = (second: number) => round(PLOT.left + ((PLOT.right - PLOT.left) * second) / END_S)

function yOf(load: number): number {
  const share = Math.log(Math.max(load, LOWEST) / LOWEST) / Math.log(HIGHEST / LOWEST)
  return round(PLOT.bottom - (PLOT.bottom - PLOT.top) * share)
}

const round = (number: number) => Math.round(number * 10) / 10

function drawLegend({ label, name }: Curve, index: number): string {
  const x = PLOT.left + index * 182
  return `<path class="curve ${name}" d="M${x} 39h18"/><text x="${x + 24}" y="43">${label}</text>`
}

function drawLoad(load: number): string {
  const { left, right } = PLOT
  const y = yOf(load)
  return `<path class="grid" d="M${left} ${y}H${right}"/><text x="${left - 8}" y="${y + 4}" text-anchor="end">${load}</text>`
}

const drawSecond = (second: number) =>
  `<text x="${xOf(second)}" y="${PLOT.bottom + 20}" text-anchor="middle">${second} s</text>`

function drawCurve({ name, load }: Curve): string {
  const points = load.map((calls, second) => `${xOf(second + 0.5)} ${yOf(calls)}`)
  return `<path class="curve ${name}" d="M${points.join('L')}"/>`
}
