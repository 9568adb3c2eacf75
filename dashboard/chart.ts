import UPlot from 'uplot'

/** One line of a chart. */
export interface Series {
  readonly label: string
  /** Name of a custom property of the style sheet. */
  readonly colour: string
  readonly values: readonly number[]
  readonly dash?: readonly number[]
}

const HEIGHT = 240

/** Steps of an axis that counts: there is no half a request. */
const WHOLE = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((n) => n * 10 ** power)).flat()

/** Too few for a line: they are points. */
const isFew = (times: readonly number[]) => times.length < 3

/** A chart over time that fits its place and follows the colours of the page. */
export class TimeChart {
  readonly #place: HTMLElement
  #plot: UPlot | null = null
  #times: readonly number[] = []
  #series: readonly Series[] = []

  constructor(place: HTMLElement) {
    this.#place = place
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(place)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.redraw())
  }

  /** @param times Epoch seconds. */
  show(times: readonly number[], series: readonly Series[]): void {
    const isNew = this.#plot === null || isFew(times) !== isFew(this.#times)
    this.#times = times
    this.#series = series
    if (isNew) this.redraw()
    else this.#plot?.setData(this.#figures())
  }

  /** Draws again, as when the colours have changed. */
  redraw(): void {
    const size = this.#size()
    this.#plot?.destroy()
    const axis = {
      stroke: this.#colour('--muted'),
      grid: { stroke: this.#colour('--line'), width: 1 },
      ticks: { stroke: this.#colour('--line'), width: 1 },
      font: '12px system-ui',
    }
    const series = this.#series.map(({ label, colour, dash }) => ({
      label,
      stroke: this.#colour(colour),
      width: 2,
      points: { show: isFew(this.#times) },
      ...(dash && { dash: [...dash] }),
    }))
    this.#plot = new UPlot(
      {
        ...size,
        series: [{}, ...series],
        axes: [axis, { ...axis, size: 56, incrs: WHOLE }],
        scales: { y: { range: (_, __, max) => [0, Math.max(1, max * 1.05)] } },
        cursor: { drag: { x: false, y: false } },
        legend: { live: true },
      },
      this.#figures(),
      this.#place,
    )
    // The place has a name that says it all; the legend would be read as a table of dashes.
    this.#plot.root.setAttribute('aria-hidden', 'true')
  }

  #figures(): UPlot.AlignedData {
    return [[...this.#times], ...this.#series.map(({ values }) => [...values])]
  }

  /** As the page has it now: a canvas knows neither custom properties nor `light-dark()`. */
  #colour(name: string): string {
    const probe = document.createElement('span')
    probe.style.color = `var(${name})`
    this.#place.append(probe)
    const { color } = getComputedStyle(probe)
    probe.remove()
    return color
  }

  #size() {
    return { width: Math.max(240, this.#place.clientWidth), height: HEIGHT }
  }
}
