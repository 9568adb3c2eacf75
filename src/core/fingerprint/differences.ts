import { crc32 } from 'node:zlib'

import { toUtf8Text } from '../bytes.ts'
import type { Digest } from '../digest.ts'
import { splitPointer, toPointer } from '../json/pointer.ts'
import { childrenOf, rootOf, type Span } from '../json/spans.ts'
import { toCanonicalText } from './canonical-json.ts'
import type { ComparedRequest, ReadBody } from './fingerprint.ts'
import { toCanonicalMultipart } from './multipart.ts'
import { joinPairs, type Pair, toPairs } from './pairs.ts'
import { branchAt, createPointerTree, type PointerTree } from './pointer-tree.ts'

/** Places of a body or query that are kept apart; where there are more, branches are kept as one. */
const MAX_PLACES = 64
/** Of the names of these places altogether, in characters. */
const MAX_NAMES_LENGTH = 4_096
/** Pointers that a client is told … */
const MAX_TOLD = 64
/** … and their length altogether, in characters as JSON writes them. */
const MAX_TOLD_LENGTH = 8_192
const MAX_DEPTH = 8
/** A larger body is kept as one place: looking into it would cost more than it tells. */
const MAX_BODY_BYTES = 65_536
/** Characters of a digest that an earlier version made. */
const DIGEST_LENGTH = 11

/** How two requests with one key differ: names only, no values. */
export interface Differences {
  readonly parts: readonly Part[]
  /** JSON pointers (RFC 6901) into the body; in a form, `/name` is the field of that name. */
  readonly pointers: readonly string[]
  /** Likewise for the query. */
  readonly queryPointers: readonly string[]
}

const PARTS = ['method', 'path', 'query', 'media-type', 'headers', 'body'] as const
type Part = (typeof PARTS)[number]

type Content = string | Uint8Array

/**
 * What is compared: each part of a request as a whole, and what query and body hold by its pointer:
 * `body:/amount`. `body:` alone is a body that is a scalar or, without content, one that is not
 * looked into. `bytes` is the body as it came: read as another type it is compared by that.
 */
type Places = ReadonlyMap<string, Content>

/** What is not looked into. */
const CLOSED: ReadonlyMap<string, string> = new Map([['', '']])

/**
 * Characters of a value that is kept as it is, behind `=`: whoever can open the list can try all
 * values of this length.
 */
const PLAIN_LENGTH = 8
const PLAIN = '='

/**
 * Begins a checksum, which is enough to tell one value from another: nobody chooses the values to make
 * two of them meet. It takes a tenth of the time of a digest, and says 32 bits about a value.
 */
const CHECKSUM = '#'

/** Parts that hold nothing secret, and are kept as they are. */
const PLAIN_PARTS: ReadonlySet<string> = new Set(['method', 'media-type'])

/** What stands for the content of each place of a request. */
export type PlaceMarks = ReadonlyMap<string, string>

/** Whether a body is too large to be looked into. */
export function isLarge({ bytes }: ReadBody): boolean {
  return bytes.byteLength > MAX_BODY_BYTES
}

/** Marks each place with its value, if that is short, or with a checksum. */
export function markPlaces(request: ComparedRequest): PlaceMarks {
  const places: Places = new Map([
    ...toParts(request),
    ...withPrefix('query:', openPairs(request.query).places()),
    ...withPrefix('body:', openBody(request).places()),
  ])
  const marks = new Map<string, string>()
  for (const [place, content] of places) {
    const isPlain = content.length <= PLAIN_LENGTH || PLAIN_PARTS.has(place)
    marks.set(place, (isPlain ? toPlain(content) : null) ?? toChecksum(content))
  }
  return marks
}

const toPlain = (content: Content) => (typeof content === 'string' ? PLAIN + content : null)

const toChecksum = (content: Content) => CHECKSUM + crc32(content).toString(36)

/** A digest as an earlier version has stored it, keyed by the client's own key. */
function digestOf(place: string, content: Content, digest: Digest, key: string): string {
  return digest('place', key, place, content).slice(0, DIGEST_LENGTH)
}

/**
 * Finds how a request differs from the one with these marks.
 *
 * @param digest With `key`, the client's own key, makes the digests of an earlier version.
 */
export function findDifferences(
  known: PlaceMarks,
  request: ComparedRequest,
  digest: Digest,
  key: string,
): Differences {
  const query = openPairs(request.query).readLike(pointersIn(known.keys(), 'query:'))
  const body = openBody(request).readLike(pointersIn(known.keys(), 'body:'))
  const comparable = new Map([
    ...toParts(request),
    ...withPrefix('query:', new Map([...CLOSED, ...query.shared])),
    ...withPrefix('body:', new Map([...CLOSED, ...body.shared])),
  ])
  const own = new Map<string, string>()
  for (const [place, content] of comparable) {
    const mark = known.get(place)
    const plain = mark?.startsWith(PLAIN) === true ? toPlain(content) : null
    const isDigest = mark !== undefined && /^[\w-]/.test(mark)
    own.set(
      place,
      plain ?? (isDigest ? digestOf(place, content, digest, key) : toChecksum(content)),
    )
  }
  // A header that counts only where it is present has no place in a request without it.
  const headers = [...own.keys()].filter((place) => place.startsWith('headers:'))
  const places = new Set([...known.keys(), ...headers])
  const changed = [...places].filter((place) => own.get(place) !== known.get(place))
  const parts = toOtherParts(new Set(changed))
  const toPointers = (part: 'query' | 'body', { added, isRead }: ReadLike) => {
    if (!isRead || !parts.includes(part)) return []
    const isClosed = own.get(`${part}:`) === known.get(`${part}:`)
    return toTold([...pointersIn(changed, `${part}:`), ...(isClosed ? [] : added)])
  }
  return {
    // What is left to differ has no place of its own.
    parts: parts.length === 0 ? ['body'] : parts,
    pointers: parts.includes('media-type') ? [] : toPointers('body', body),
    queryPointers: toPointers('query', query),
  }
}

/** Parts differ if the marks of the whole parts do. */
function toOtherParts(changed: ReadonlySet<string>): readonly Part[] {
  return PARTS.filter((part) => {
    if (part === 'headers') return [...changed].some((place) => place.startsWith('headers:'))
    const isSameBytes = part === 'body' && changed.has('media-type') && !changed.has('bytes')
    return changed.has(part) && !isSameBytes
  })
}

/** The pointers that the client is told, without the one to the whole document. */
function toTold(pointers: readonly string[]): readonly string[] {
  let room = MAX_TOLD_LENGTH
  return pointers
    .filter((pointer) => pointer !== '')
    .slice(0, MAX_TOLD)
    .filter((pointer) => {
      const { length } = JSON.stringify(pointer)
      if (length > room) return false
      room -= length
      return true
    })
}

/** What a request has at the places of another. */
interface ReadLike {
  readonly shared: ReadonlyMap<string, string>
  /** Pointers that the other does not have. */
  readonly added: readonly string[]
  /** `false` if this request was not opened, so that its places are not known. */
  readonly isRead: boolean
}

function pointersIn(places: Iterable<string>, prefix: string): readonly string[] {
  return [...places].flatMap((place) =>
    place.startsWith(prefix) ? [place.slice(prefix.length)] : [],
  )
}

function withPrefix(
  prefix: string,
  places: ReadonlyMap<string, string>,
): readonly [string, string][] {
  return [...places].map(([pointer, content]) => [prefix + pointer, content])
}

function toParts(request: ComparedRequest): readonly [string, Content][] {
  const { method, path, query, mediaType, headers, body } = request
  return [
    ['method', method],
    ['path', path],
    ['query', joinPairs(query)],
    ['media-type', `${mediaType} ${body.codings.join()}`],
    ...headers.map(([name, text]): [string, string] => [`headers:${name}`, text]),
    ['body', body.canonical.content],
    ['bytes', body.bytes],
  ]
}

/** A query or a body whose places can be read. */
interface Opened {
  /** Its own places. */
  places(): ReadonlyMap<string, string>
  /** What it has at the places of another. */
  readLike(pointers: readonly string[]): ReadLike
}

const UNOPENED: Opened = {
  places: () => CLOSED,
  readLike: () => ({ shared: new Map(), added: [], isRead: false }),
}

function openPairs(pairs: readonly Pair[]): Opened {
  const named = toNamed(pairs)
  return {
    places: () => bounded(named),
    readLike: (pointers) => readNamed(named, new Set(pointers)),
  }
}

function openBody({ body, rules }: ComparedRequest): Opened {
  const { bytes, canonical, type } = body
  if (isLarge(body) || canonical.kind === 'bytes') return UNOPENED
  const tree = createPointerTree(rules.ignore, rules.dates)
  switch (canonical.kind) {
    case 'json': {
      const text = new TextDecoder().decode(bytes)
      const root = { pointer: '', span: rootOf(text), rules: tree }
      return {
        places: () => toJsonPlaces(text, root),
        readLike: (pointers) => readTree(text, root, pointers),
      }
    }
    case 'form':
      return openPairs(toPairs(bytes, tree))
    case 'multipart': {
      const read = type && toCanonicalMultipart(bytes, type)
      const parts = read?.ok === true ? read.value.parts : []
      return openPairs(parts.map(({ name = '', text }) => ({ name, value: text })))
    }
  }
}

/** Keeps names apart, unless they are too many or too long. */
function bounded(named: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const isTooMuch = named.size > MAX_PLACES || [...named.keys()].join('').length > MAX_NAMES_LENGTH
  return isTooMuch ? CLOSED : named
}

/** Gathers the values of each name, in their order. */
function toNamed(pairs: readonly Pair[]): ReadonlyMap<string, string> {
  const named = new Map<string, string>()
  for (const { name, value } of pairs) {
    const pointer = toPointer(toUtf8Text(name))
    named.set(pointer, (named.get(pointer) ?? '') + value)
  }
  return named
}

function readNamed(named: ReadonlyMap<string, string>, known: ReadonlySet<string>): ReadLike {
  const shared = new Map([...named].filter(([pointer]) => known.has(pointer)))
  const added = [...named.keys()].filter((pointer) => !known.has(pointer))
  return { shared, added, isRead: true }
}

interface Branch {
  readonly pointer: string
  readonly span: Span
  readonly rules: PointerTree | undefined
}

function toJsonPlaces(text: string, root: Branch): ReadonlyMap<string, string> {
  const branches = openAll(text, [root])
  if (branches[0] === root) return toWholePlace(text, root)
  return new Map(branches.map((branch) => [branch.pointer, toText(text, branch)]))
}

/** The place of a document that is not opened. */
function toWholePlace(text: string, root: Branch): ReadonlyMap<string, string> {
  if (openBranch(text, root).length > 0) return CLOSED
  // What is empty, but for what does not count, holds nothing that could cover what is added to it.
  const isEmpty = '[{'.includes(text.charAt(root.span.start))
  return isEmpty ? new Map() : new Map([['', toText(text, root)]])
}

/** Opens branch after branch, the upper ones first, while there is room for what is in them. */
function openAll(text: string, closed: readonly Branch[]): readonly Branch[] {
  let branches = closed
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    let room = MAX_PLACES - branches.length
    // A long name stands before each name beneath it.
    let nameRoom = MAX_NAMES_LENGTH - namesLengthOf(branches)
    const opened = branches.flatMap((branch) => {
      const inside = openBranch(text, branch)
      const namesLength = namesLengthOf(inside) - branch.pointer.length
      const isTooMuch = inside.length - 1 > room || namesLength > nameRoom
      if (inside.length === 0 || isTooMuch) return [branch]
      room -= inside.length - 1
      nameRoom -= namesLength
      return inside
    })
    // Every branch that is left is a leaf, or too much to open.
    if (opened.every((branch, index) => branch === branches[index])) break
    branches = opened
  }
  return branches
}

/**
 * Opens what the other request had opened, and no more: its bounds are those of both. A name can be
 * long and have much beneath it, so pointers are made of nothing but what is compared or told.
 */
function readTree(text: string, root: Branch, pointers: readonly string[]): ReadLike {
  const places = toPlaceTree(pointers.filter((pointer) => pointer !== ''))
  const shared: Branch[] = []
  const added: Branch[] = []
  const visit = (branch: Branch, known: PlaceTree): void => {
    for (const { token, span } of childrenOf(text, branch.span)) {
      const rules = branchAt(branch.rules, token)
      const place = known.get(token)
      const isTooMuch = place === undefined && added.length >= MAX_TOLD
      if (rules?.isIgnored === true || isTooMuch) continue
      const child = { pointer: branch.pointer + toPointer(token), span, rules }
      if (place === undefined) added.push(child)
      else if (place.size === 0) shared.push(child)
      else visit(child, place)
    }
  }
  visit(root, places)
  return {
    shared: new Map(shared.map((branch) => [branch.pointer, toText(text, branch)])),
    added: openAll(text, added).map(({ pointer }) => pointer),
    isRead: true,
  }
}

/** Places of a request by their names, which may be any; its leaves are the places themselves. */
interface PlaceTree extends Map<string, PlaceTree> {}

function toPlaceTree(pointers: readonly string[]): PlaceTree {
  const root: PlaceTree = new Map()
  for (const pointer of pointers) {
    let place = root
    for (const token of splitPointer(pointer)) {
      const inside: PlaceTree = place.get(token) ?? new Map()
      place.set(token, inside)
      place = inside
    }
  }
  return root
}

function namesLengthOf(branches: readonly Branch[]): number {
  return branches.reduce((sum, { pointer }) => sum + pointer.length, 0)
}

function openBranch(text: string, { pointer, span, rules }: Branch): readonly Branch[] {
  return childrenOf(text, span).flatMap((child) => {
    const own = branchAt(rules, child.token)
    if (own?.isIgnored === true) return []
    return [{ pointer: pointer + toPointer(child.token), span: child.span, rules: own }]
  })
}

const toText = (text: string, { span, rules }: Branch) =>
  toCanonicalText(text.slice(span.start, span.end), rules)
