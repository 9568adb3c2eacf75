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

/** A chart over time that fits its place and follows the colours of the page. */
export class TimeChart {
  readonly #place: HTMLElement
  #plot: UPlot | null = null
  #times: readonly number[] = []
  #series: readonly Series[] = []

  constructor(place: HTMLElement) {
    this.#place = place
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(place)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#draw())
  }

  /** @param times Epoch seconds. */
  show(times: readonly number[], series: readonly Series[]): void {
    this.#times = times
    this.#series = series
    this.#draw()
  }

  /** Draws anew, as when the colours have changed. */
  redraw(): void {
    this.#draw()
  }

  #draw(): void {
    this.#plot?.destroy()
    const style = getComputedStyle(this.#place)
    const colour = (name: string) => style.getPropertyValue(name).trim()
    const axis = {
      stroke: colour('--muted'),
      grid: { stroke: colour('--line'), width: 1 },
      ticks: { stroke: colour('--line'), width: 1 },
      font: '12px system-ui',
    }
    const series = this.#series.map(({ label, colour: name, dash }) => ({
      label,
      stroke: colour(name),
      width: 2,
      points: { show: this.#times.length < 3 },
      ...(dash && { dash: [...dash] }),
    }))
    this.#plot = new UPlot(
      {
        ...this.#size(),
        series: [{}, ...series],
        axes: [axis, { ...axis, size: 56 }],
        scales: { y: { range: (_, __, max) => [0, Math.max(1, max * 1.05)] } },
        cursor: { drag: { x: false, y: false } },
        legend: { live: true },
      },
      [[...this.#times], ...this.#series.map(({ values }) => [...values])],
      this.#place,
    )
  }

  #size() {
    return { width: Math.max(280, this.#place.clientWidth), height: HEIGHT }
  }
}
