/**
 * Makes a place hold the wanted nodes, and touches only the differences: focus, selection, scrolling
 * and the position of a screen reader survive a refresh, also when rows come and go.
 *
 * Children with a `data-key` are known by it, others by their position.
 */
export function morph(place: Element, wanted: readonly Node[]): void {
  const focused = document.activeElement
  morphChildren(place, wanted)
  if (focused instanceof HTMLElement && focused !== document.activeElement)
    keepFocus(place, focused)
}

/** A moved element loses the focus. If the element is gone, its table gets it. */
function keepFocus(place: Element, focused: HTMLElement): void {
  const heir = focused.isConnected ? focused : place.closest<HTMLElement>('[tabindex]')
  heir?.focus({ preventScroll: true })
}

function morphChildren(place: Element, wanted: readonly Node[]): void {
  const present = [...place.childNodes]
  const byKey = new Map(present.map((node) => [keyOf(node), node]))
  const nodes = wanted.map((node, index) => {
    const key = keyOf(node)
    const old = key === undefined ? present[index] : byKey.get(key)
    return old !== undefined && isAlike(old, node) ? adapt(old, node) : node
  })
  const kept = new Set(nodes)
  for (const node of present) if (!kept.has(node)) node.remove()
  let next = place.firstChild
  for (const node of nodes) {
    if (node === next) next = next.nextSibling
    else place.insertBefore(node, next)
  }
}

const keyOf = (node: Node) => (node instanceof HTMLElement ? node.dataset['key'] : undefined)
const isAlike = (a: Node, b: Node) => a.nodeName === b.nodeName && keyOf(a) === keyOf(b)

function adapt<node extends Node>(old: node, wanted: node): node {
  if (old.isEqualNode(wanted)) return old
  if (old instanceof Element && wanted instanceof Element) {
    copyAttributes(old, wanted)
    morphChildren(old, [...wanted.childNodes])
  } else {
    old.nodeValue = wanted.nodeValue
  }
  return old
}

function copyAttributes(old: Element, wanted: Element): void {
  for (const name of old.getAttributeNames()) {
    if (!wanted.hasAttribute(name)) old.removeAttribute(name)
  }
  for (const { name, value } of wanted.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value)
  }
}
