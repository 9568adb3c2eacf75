import { morph } from './morph.ts'
import { named } from './text.ts'

/** An element of the page, by its id. @throws {Error} When the page has none of this kind. */
export function element<kind extends HTMLElement>(id: string, kind: new () => kind): kind {
  const found = document.getElementById(id)
  if (!(found instanceof kind)) throw new Error(`The page has no ${id}.`)
  return found
}

/** Fills a list of terms. */
export function fillTerms(
  list: HTMLElement,
  terms: readonly (readonly [string, string | Node])[],
): void {
  morph(
    list,
    terms.flatMap(([term, description]) => {
      const dt = document.createElement('dt')
      dt.textContent = term
      const dd = document.createElement('dd')
      dd.append(typeof description === 'string' ? named(description) : description)
      return [dt, dd]
    }),
  )
}
