import { fromBase64, toBase64 } from '../core/base64.ts'

/**
 * Values without a node of their own, in the format of devalue. Texts of devalue can be read here;
 * devalue can read texts of this file if they hold only types that it knows.
 */
const UNDEFINED = -1
const HOLE = -2
const NAN = -3
const INFINITE = -4
const NEGATIVE_INFINITE = -5
const NEGATIVE_ZERO = -6
const SPARSE = -7

/** Text of a message that could not be written. */
export const NO_CLONE = String(UNDEFINED)

/** Returns the number that refers to a value. */
type Refer = (value: unknown) => number

/**
 * Writes any value that a structured clone can hold, as a flat list of values that refer to each other
 * by number. Unlike devalue, it is not recursive, because a message can be nested deeper than the stack.
 */
export async function writeClone(root: unknown): Promise<string> {
  const values: unknown[] = []
  const numbers = new Map<unknown, number>()
  const refer: Refer = (value) => {
    const known = constantOf(value) ?? numbers.get(value)
    if (known !== undefined) return known
    const number = values.push(value) - 1
    numbers.set(value, number)
    return number
  }
  const first = refer(root)
  if (first < 0) return String(first)
  const nodes: string[] = []
  // The list grows while it is written.
  for (const value of values) {
    // oxlint-disable-next-line no-await-in-loop -- only a blob has to be waited for
    const node = value instanceof Blob ? await toBlobNode(value) : toNode(value, refer)
    nodes.push(JSON.stringify(node))
  }
  return `[${nodes.join(',')}]`
}

function constantOf(value: unknown): number | undefined {
  if (value === undefined) return UNDEFINED
  if (typeof value !== 'number') return undefined
  if (Number.isNaN(value)) return NAN
  if (value === Infinity) return INFINITE
  if (value === -Infinity) return NEGATIVE_INFINITE
  return Object.is(value, -0) ? NEGATIVE_ZERO : undefined
}

const tagOf = (value: unknown) => Object.prototype.toString.call(value).slice(8, -1)

async function toBlobNode(blob: Blob): Promise<unknown> {
  return ['Blob', blob.type, toBase64(new Uint8Array(await blob.arrayBuffer()))]
}

function toNode(value: unknown, refer: Refer): unknown {
  if (typeof value === 'bigint') return ['BigInt', String(value)]
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return toListNode(value, refer)
  return toCollectionNode(value, refer) ?? toBytesNode(value, refer) ?? toObjectNode(value, refer)
}

function toCollectionNode(value: object, refer: Refer): unknown {
  if (value instanceof Map) return ['Map', ...[...value].flat().map(refer)]
  if (value instanceof Set) return ['Set', ...[...value].map(refer)]
  if (value instanceof Date) return ['Date', Number.isNaN(+value) ? '' : value.toISOString()]
  if (value instanceof RegExp) return ['RegExp', value.source, value.flags]
  return null
}

function toBytesNode(value: object, refer: Refer): unknown {
  if (value instanceof ArrayBuffer) return ['ArrayBuffer', toBase64(new Uint8Array(value))]
  if (!ArrayBuffer.isView(value)) return null
  const length = 'length' in value ? value.length : value.byteLength
  return [tagOf(value), refer(value.buffer), value.byteOffset, length]
}

function toObjectNode(value: object, refer: Refer): unknown {
  if (value instanceof DOMException) return ['DOMException', value.message, value.name]
  if (value instanceof Error) {
    return ['Error', value.name, ...membersOf(value, Object.getOwnPropertyNames(value), refer)]
  }
  if (value instanceof Headers) return ['Headers', ...value]
  if (value instanceof Request) return ['Request', value.url, value.method, ...value.headers]
  if (value instanceof Response) return ['Response', value.status, ...value.headers]
  const tag = tagOf(value)
  if (BOXES.has(tag)) return ['Object', refer(value.valueOf())]
  if (tag !== 'Object') return ['Unknown', tag]
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, refer(member)]))
}

const BOXES: ReadonlySet<string> = new Set(['Number', 'String', 'Boolean', 'BigInt'])

/** A list may have holes, and named members. */
function toListNode(list: readonly unknown[], refer: Refer): unknown {
  const names = Object.keys(list)
  const isPlain = names.length === list.length && names.every((name, at) => name === String(at))
  return isPlain ? list.map(refer) : ['Array', list.length, ...membersOf(list, names, refer)]
}

function membersOf(of: object, names: readonly string[], refer: Refer): (string | number)[] {
  return names.flatMap((name) => [name, refer(Reflect.get(of, name))])
}

type Node = string | number | boolean | null | readonly unknown[] | Readonly<Record<string, number>>

/** Reads a text of `writeClone`. @throws {Error} If it is another text. */
export function readClone(text: string): unknown {
  const nodes = JSON.parse(text) as readonly Node[] | number
  if (typeof nodes === 'number') return CONSTANTS.get(nodes)
  // First the values without references, then those made of another one, then all references.
  const values = nodes.map(toLeaf)
  const read = (number: unknown) =>
    (number as number) < 0 ? CONSTANTS.get(number) : values[number as number]
  for (const [number, node] of nodes.entries()) {
    if (values[number] === undefined) values[number] = toPart(node, read)
  }
  for (const [number, node] of nodes.entries()) {
    if (typeof node === 'object' && node !== null) fill(values[number], node, read)
  }
  return values[0]
}

type Read = (number: unknown) => unknown

const CONSTANTS: ReadonlyMap<unknown, number | undefined> = new Map([
  [UNDEFINED, undefined],
  [NAN, Number.NaN],
  [INFINITE, Infinity],
  [NEGATIVE_INFINITE, -Infinity],
  [NEGATIVE_ZERO, -0],
])

/** @returns `undefined` if it is made of another value. */
function toLeaf(node: Node): unknown {
  if (!Array.isArray(node)) return typeof node === 'object' && node !== null ? {} : node
  const [tag] = node as unknown[]
  if (typeof tag !== 'string') return []
  return LEAVES.get(tag)?.(node as unknown as TaggedNode)
}

type TaggedNode = readonly [string, never, never, ...never[]]

/** By its tag: makes a value without the values that it refers to. */
const LEAVES: ReadonlyMap<string, (node: TaggedNode) => unknown> = new Map(
  Object.entries<(node: TaggedNode) => unknown>({
    null: () => Object.create(null),
    Array: () => [],
    Map: () => new Map(),
    Set: () => new Set(),
    BigInt: ([, digits]) => BigInt(digits),
    Date: ([, time]) => new Date(time),
    RegExp: ([, source, flags]) => new RegExp(source, flags),
    ArrayBuffer: ([, base64]) => fromBase64(base64).buffer,
    Unknown: ([, tag]) => `[object ${String(tag)}]`,
    Error: ([, name]) => toError(name),
    DOMException: ([, message, name]) => new DOMException(message, name),
    Blob: ([, type, base64]) => new Blob([fromBase64(base64)], { type }),
    Headers: ([, ...fields]) => new Headers(fields),
    Request: ([, url, method, ...headers]) => new Request(url, { method, headers }),
    Response: ([, status, ...headers]) => new Response(null, { status, headers }),
  }),
)

const ERRORS = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError }

function toError(name: string): Error {
  if (name === 'AggregateError') return new AggregateError([])
  const Named = Object.entries(ERRORS).find(([known]) => known === name)?.[1] ?? Error
  return new Named()
}

const VIEW = /^(?:DataView|(?:Big)?(?:Int|Uint|Float)(?:8|16|32|64)(?:Clamped)?Array)$/

/** A value that is made of one other: a view of bytes, or a boxed value. */
function toPart(node: Node, read: Read): unknown {
  if (!Array.isArray(node) || typeof node[0] !== 'string') return undefined
  const [tag, of, offset, length] = node as [string, number, number?, number?]
  if (tag === 'Object') return Object(read(of))
  if (!VIEW.test(tag)) throw new Error('This was not written here.')
  const View = Reflect.get(globalThis, tag) as Uint8ArrayConstructor
  return new View(read(of) as ArrayBuffer, offset, length)
}

/** Adds the members of a value to it. */
function fill(value: unknown, node: Extract<Node, object>, read: Read): void {
  if (Array.isArray(value)) return fillList(value, node as readonly unknown[], read)
  const [tag, ...rest] = Array.isArray(node) ? (node as unknown[]) : []
  switch (tag) {
    case undefined:
      for (const [name, of] of Object.entries(node)) set(value, name, read(of))
      return
    case 'Set':
      for (const number of rest) (value as Set<unknown>).add(read(number))
      return
    case 'Map':
      for (const [key, of] of pairsOf(rest)) {
        ;(value as Map<unknown, unknown>).set(read(key), read(of))
      }
      return
    case 'null':
      for (const [name, of] of pairsOf(rest)) set(value, name, read(of))
      return
    case 'Error':
      for (const [name, of] of pairsOf(rest.slice(1))) set(value, name, read(of), !OWN.has(name))
  }
}

/** Members of an error that are not enumerable. */
const OWN: ReadonlySet<unknown> = new Set(['stack', 'message', 'cause', 'errors'])

function fillList(list: unknown[], node: readonly unknown[], read: Read): void {
  const [tag, length, ...members] = node
  if (tag === 'Array' || tag === SPARSE) {
    list.length = length as number
    for (const [name, of] of pairsOf(members)) set(list, name, read(of))
    return
  }
  list.length = node.length
  for (const [at, of] of node.entries()) if (of !== HOLE) list[at] = read(of)
}

function* pairsOf(flat: readonly unknown[]): Generator<[unknown, unknown]> {
  for (let at = 0; at < flat.length; at += 2) yield [flat[at], flat[at + 1]]
}

/** `__proto__` is a name like any other. */
function set(of: unknown, name: unknown, value: unknown, enumerable = true): void {
  const how = { value, enumerable, writable: true, configurable: true }
  Object.defineProperty(of, String(name), how)
}
