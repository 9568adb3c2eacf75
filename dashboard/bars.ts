import { formatCount, formatShare } from './format.ts'
import { make } from './page.ts'

/** A share as a bar with its percentage. */
export function shareBar(part: number): HTMLElement {
  return labelled(bar(part, '--keyless'), formatShare(part))
}

/** A count as a bar, as long as its part of the largest one. */
export function countBar(count: number, largest: number, colour: string): HTMLElement {
  return labelled(bar(largest > 0 ? count / largest : 0, colour), formatCount(count))
}

function labelled(picture: Element, text: string): HTMLElement {
  return make('span', { class: 'figure' }, picture, make('span', {}, text))
}

function bar(part: number, colour: string): HTMLElement {
  const place = make('span', { class: 'bar', 'aria-hidden': 'true' })
  place.style.setProperty('--part', String(Math.min(1, part)))
  place.style.setProperty('--tone', `var(${colour})`)
  return place
}

const SVG = 'http://www.w3.org/2000/svg'

/** Where p50, p95 and p99 lie on a scale that all rows share: a tick, a box to p95 and a line to p99. */
export function rangeBar(quantiles: readonly [number, number, number], largest: number): Element {
  const [p50, p95, p99] = quantiles.map((value) => (largest > 0 ? (value / largest) * 100 : 0))
  const picture = document.createElementNS(SVG, 'svg')
  picture.setAttribute('class', 'range')
  picture.setAttribute('viewBox', '0 0 100 12')
  picture.setAttribute('preserveAspectRatio', 'none')
  picture.setAttribute('aria-hidden', 'true')
  picture.append(
    rectangle('track', { from: 0, to: 100, height: 12 }),
    rectangle('to-p99', { from: p50 ?? 0, to: p99 ?? 0, height: 2 }),
    rectangle('to-p95', { from: p50 ?? 0, to: p95 ?? 0, height: 8 }),
    rectangle('p50', { from: (p50 ?? 0) - 0.4, to: (p50 ?? 0) + 0.4, height: 12 }),
  )
  return picture
}

interface Rectangle {
  readonly from: number
  readonly to: number
  readonly height: number
}

function rectangle(name: string, { from, to, height }: Rectangle): Element {
  const shape = document.createElementNS(SVG, 'rect')
  const left = Math.min(99.2, Math.max(0, from))
  const attributes = { class: name, x: left, y: (12 - height) / 2, height }
  for (const [attribute, value] of Object.entries(attributes)) {
    shape.setAttribute(attribute, String(value))
  }
  shape.setAttribute('width', String(Math.max(0.8, to - left)))
  return shape
}
