import type { Digest } from './digest.ts'
import { toUtf8Text } from './fingerprint/binary-string.ts'
import {
  type FingerprintRules,
  type ReadBody,
  type RequestHead,
  toFieldText,
  toTypeText,
} from './fingerprint/fingerprint.ts'
import { toCanonicalText } from './fingerprint/json.ts'
import { toCanonicalMultipart } from './fingerprint/multipart.ts'
import { type Pair, toCanonicalPairs, toPairs } from './fingerprint/pairs.ts'
import {
  createPointerTree,
  parsePointer,
  type PointerTree,
  toPointer,
} from './fingerprint/pointers.ts'
import { childrenOf, findValue, rootOf, type Span } from './json-spans.ts'

/** Places of a body or query that are kept apart; where there are more, branches are kept as one. */
interface Bounds {
  readonly places: number
  /** Of the names altogether, in characters. */
  readonly namesLength: number
}

const STORED: Bounds = { places: 64, namesLength: 4_096 }
/** What is compared with what is stored is not stored itself. */
const COMPARED: Bounds = { places: 1_024, namesLength: 65_536 }
/** Pointers that a client is told. */
const MAX_TOLD = 64
const MAX_DEPTH = 8
/** A larger body is kept as one place: looking into it would cost more than it tells. */
const MAX_BODY_BYTES = 65_536
/** Characters of a digest: 66 bits, since nobody chooses the values to make two of them meet. */
const DIGEST_LENGTH = 11

/** A request, as far as it is compared with another of the same key. */
export interface ComparedRequest {
  readonly head: RequestHead
  readonly body: ReadBody
  readonly rules: FingerprintRules
}

/** In what two requests with one key differ. Names only, no values. */
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

/** What is compared: by part, with a pointer behind it in query and body, or the name of a header. */
type Places = ReadonlyMap<string, Content>

/** Stands for a body that is too large to be looked into. */
const UNREAD = ''

/** A digest of each place of a request. */
export type PlaceDigests = ReadonlyMap<string, string>

/** Digests each place, keyed by what only the client can bring. */
export function digestPlaces(
  request: ComparedRequest,
  digest: Digest,
  key: string,
): Promise<PlaceDigests> {
  return digestAll(toPlaces(request, STORED), digest, key)
}

async function digestAll(places: Places, digest: Digest, key: string): Promise<PlaceDigests> {
  const digested = [...places].map(async ([place, content]): Promise<[string, string]> => {
    const whole = await digest('place', key, place, content)
    return [place, whole.slice(0, DIGEST_LENGTH)]
  })
  return new Map(await Promise.all(digested))
}

/** Tells in what a request differs from the one whose digests are known. */
export async function findDifferences(
  known: PlaceDigests,
  request: ComparedRequest,
  digest: Digest,
  key: string,
): Promise<Differences> {
  const own = toPlaces(request, COMPARED)
  // Of the places of both, this request's own contents, also where it would keep them otherwise.
  const shared = [...known.keys()].flatMap((place): [string, Content][] => {
    const content = own.get(place) ?? readPlace(request, place)
    return content === undefined ? [] : [[place, content]]
  })
  const digests = await digestAll(new Map(shared), digest, key)
  const changed = [...known]
    .filter(([place, value]) => digests.get(place) !== value)
    // Nothing is known of what is in a body that is not looked into.
    .map(([place]) => (own.get('body') === UNREAD && partOf(place) === 'body' ? 'body' : place))
  const added = [...own.keys()].filter((place) => !isCovered(place, known))
  return toDifferences([...new Set([...changed, ...added])])
}

function toDifferences(places: readonly string[]): Differences {
  const ofPart = (part: Part) => places.filter((place) => partOf(place) === part)
  const pointersOf = (part: Part) =>
    ofPart(part)
      .flatMap((place) => (place === part ? [] : [place.slice(part.length)]))
      .slice(0, MAX_TOLD)
  const isOtherType = places.includes('media-type')
  const parts = PARTS.filter((part) => ofPart(part).length > 0)
  return {
    // What is left to differ has no place of its own.
    parts: parts.length === 0 ? ['body'] : parts,
    pointers: isOtherType ? [] : pointersOf('body'),
    queryPointers: pointersOf('query'),
  }
}

const partOf = (place: string) => /^[a-z-]+/.exec(place)?.[0]

/** Whether something at, above or beneath a place is known. */
function isCovered(place: string, known: PlaceDigests): boolean {
  if (known.has(place)) return true
  for (let end = place.lastIndexOf('/'); end > 0; end = place.lastIndexOf('/', end - 1)) {
    if (known.has(place.slice(0, end))) return true
  }
  return [...known.keys()].some((other) => other.startsWith(`${place}/`))
}

function toPlaces({ head, body, rules }: ComparedRequest, bounds: Bounds): Places {
  const type = `${toTypeText(body.type, head.headers)} ${body.codings.join()}`
  const headers = rules.headers.map((name): [string, string] => {
    return [`headers:${name.toLowerCase()}`, toFieldText(head.headers, name)]
  })
  const query = queryOf(head, rules)
  return new Map<string, Content>([
    ['method', head.method],
    ['path', head.path],
    ['media-type', type],
    ...headers,
    ...bounded(
      'query',
      toNamed(toPairs(query, undefined)),
      toCanonicalPairs(query, undefined),
      bounds,
    ),
    ...toBodyPlaces(body, rules, bounds),
  ])
}

function queryOf({ search }: RequestHead, { query }: FingerprintRules): Uint8Array {
  return new TextEncoder().encode(query ? search.slice(1) : '')
}

function toBodyPlaces(
  body: ReadBody,
  rules: FingerprintRules,
  bounds: Bounds,
): readonly [string, Content][] {
  const { bytes, canonical, type } = body
  if (bytes.byteLength > MAX_BODY_BYTES) return [['body', UNREAD]]
  const tree = createPointerTree(rules.ignore, rules.dates)
  switch (canonical.kind) {
    case 'json':
      return bounded('body', toJsonPlaces(decode(bytes), tree, bounds), canonical.content, bounds)
    case 'form':
      return bounded('body', toNamed(toPairs(bytes, tree)), canonical.content, bounds)
    case 'multipart': {
      const read = type && toCanonicalMultipart(bytes, type)
      const parts = read?.ok === true ? read.value.parts : []
      const pairs = parts.map(({ name = '', text }) => ({ name, value: text }))
      return bounded('body', toNamed(pairs), canonical.content, bounds)
    }
    case 'bytes':
      return [['body', canonical.content]]
  }
}

/** Keeps the places apart, unless they are too many or their names too long. */
function bounded(part: Part, found: ReadonlyMap<string, string>, whole: Content, bounds: Bounds) {
  const names = [...found.keys()].join('')
  const isTooMuch = found.size > bounds.places || names.length > bounds.namesLength
  const places = isTooMuch ? [['', whole] as const] : [...found]
  return places.map(([pointer, content]): [string, Content] => [part + pointer, content])
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

interface Branch {
  readonly pointer: string
  readonly span: Span
  readonly rules: PointerTree | undefined
}

/** Opens branch after branch, the upper ones first, while there is room for what is in them. */
function toJsonPlaces(
  text: string,
  rules: PointerTree | undefined,
  bounds: Bounds,
): ReadonlyMap<string, string> {
  let branches: readonly Branch[] = [{ pointer: '', span: rootOf(text), rules }]
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    let room = bounds.places - branches.length
    // A long name stands before each name beneath it.
    let nameRoom = bounds.namesLength - namesLengthOf(branches)
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
  const places = branches.map((branch): [string, string] => [branch.pointer, toText(text, branch)])
  // An empty document holds nothing that could cover what another adds to it.
  return new Map(
    places.filter(([pointer, content]) => pointer !== '' || !/^(?:\{\}|\[\])$/.test(content)),
  )
}

function namesLengthOf(branches: readonly Branch[]): number {
  return branches.reduce((sum, { pointer }) => sum + pointer.length, 0)
}

function openBranch(text: string, { pointer, span, rules }: Branch): readonly Branch[] {
  return childrenOf(text, span).flatMap((child) => {
    const own = rules?.children.get(child.token)
    if (own?.isIgnored === true) return []
    return [{ pointer: pointer + toPointer(child.token), span: child.span, rules: own }]
  })
}

const toText = (text: string, { span, rules }: Branch) =>
  toCanonicalText(text.slice(span.start, span.end), rules)

/** Content at a place that another request kept apart and this one would not, or the other way round. */
function readPlace({ head, body, rules }: ComparedRequest, place: string): Content | undefined {
  if (place === 'query') return toCanonicalPairs(queryOf(head, rules), undefined)
  if (partOf(place) !== 'body' || body.bytes.byteLength > MAX_BODY_BYTES) return undefined
  if (place === 'body') return body.canonical.content
  if (body.canonical.kind !== 'json') return undefined
  const tokens = tokensOf(place.slice('body'.length))
  const text = decode(body.bytes)
  const span = findValue(text, tokens)
  if (span === null) return undefined
  let tree = createPointerTree(rules.ignore, rules.dates)
  for (const token of tokens) tree = tree?.children.get(token)
  return toText(text, { pointer: place, span, rules: tree })
}

function tokensOf(pointer: string): readonly string[] {
  const parsed = parsePointer(pointer)
  return parsed.ok ? parsed.value : []
}

const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
