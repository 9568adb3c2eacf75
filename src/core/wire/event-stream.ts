import { concat } from '../bytes.ts'

/** The longest event that is held back to be read; a stream never holds more. */
export const MAX_EVENT_BYTES = 8 * 1024 * 1024

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d

/**
 * A `data` line with the line end before it, but without its own: so removing it cannot join a CR and
 * an LF. Without the flag `m`, for which U+2028 ends a line too.
 */
const DATA_LINE = /(^|\r\n?|\n)data(?:: ?([^\r\n]*))?(?=(\r\n?|\n))/g

const NOTHING = new Uint8Array()

/**
 * Rewrites the data of a `text/event-stream` (WHATWG HTML §9.2), each event as soon as it is complete.
 *
 * Unchanged events are passed on byte for byte, as are events without data, of more than 8 MiB, or
 * incomplete at the end. In a changed event the other lines stay.
 *
 * @param mapData Returns the new data of an event, with LF between lines; `null` drops the event.
 * @param atEnd Called at the end, if every event was read. Returns data of one more event, in one
 *   line, or `null`.
 */
export function mapEvents(
  mapData: (data: string) => string | null,
  atEnd: () => string | null = () => null,
): TransformStream<Uint8Array, Uint8Array> {
  // One for the whole stream: a byte order mark is no text only at its start.
  const decoder = new TextDecoder()
  const encoder = new TextEncoder()
  const findEnds = createEndFinder()
  const head = createHead()
  let isHalfDropped = false
  let isAllRead = true

  const endEvent = (tail: Uint8Array) => {
    const { bytes, isWhole } = head.complete(tail)
    if (!isWhole) {
      isHalfDropped = false
      isAllRead = false
      return bytes
    }
    const event = decoder.decode(bytes, { stream: true })
    // The LF of the CRLF that a dropped event ended with is dropped too.
    const mapped = isHalfDropped && event === '\n' ? null : mapEvent(event, mapData)
    isHalfDropped = mapped === null && event.endsWith('\r')
    return mapped === event ? bytes : encoder.encode(mapped ?? '')
  }

  return new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      const parts: Uint8Array[] = []
      let start = 0
      for (const end of findEnds(chunk)) {
        parts.push(endEvent(chunk.subarray(start, end)))
        start = end
      }
      parts.push(head.append(chunk.subarray(start)))
      enqueue(controller, concat(parts))
    },
    flush(controller) {
      const { bytes, isWhole } = head.complete(NOTHING)
      const data = isAllRead && isWhole ? atEnd() : null
      // The incomplete rest is no event, and must not become one.
      enqueue(controller, data === null ? bytes : encoder.encode(`data: ${data}\n\n`))
    },
  })
}

/**
 * Reads the data of a `text/event-stream` in chunks. Events without data and incomplete ones are
 * ignored (WHATWG HTML §9.2.6).
 *
 * @param onData Called with the data of each event; with `null` for one of more than 8 MiB.
 * @returns Takes the next chunk.
 */
export function createEventReader(
  onData: (data: string | null) => void,
): (chunk: Uint8Array) => void {
  const decoder = new TextDecoder()
  const findEnds = createEndFinder()
  const head = createHead()
  return (chunk) => {
    let start = 0
    for (const end of findEnds(chunk)) {
      const { bytes, isWhole } = head.complete(chunk.subarray(start, end))
      const data = isWhole ? dataOf(decoder.decode(bytes, { stream: true })) : null
      if (data !== '') onData(data)
      start = end
    }
    head.append(chunk.subarray(start))
  }
}

function enqueue(controller: TransformStreamDefaultController<Uint8Array>, bytes: Uint8Array) {
  if (bytes.length > 0) controller.enqueue(bytes)
}

/**
 * Finds, chunk by chunk, the ends of events: the bytes after an empty line. CR ends a line at once,
 * since a sender that uses CR alone may then pause. So the LF of a CRLF ends an empty event.
 */
function createEndFinder(): (chunk: Uint8Array) => readonly number[] {
  let before = 0
  let isFirst = true
  return (chunk) => {
    const ends: number[] = []
    for (let at = 0; at < chunk.length; at += 1) {
      const byte = chunk[at] ?? 0
      const isSecondHalf = byte === LINE_FEED && before === CARRIAGE_RETURN
      const isLineEmpty = isFirst || (isLineEnd(before) && !isSecondHalf)
      isFirst = isLineEnd(byte) && isLineEmpty
      if (isFirst) ends.push(at + 1)
      before = byte
    }
    return ends
  }
}

function isLineEnd(byte: number): boolean {
  return byte === LINE_FEED || byte === CARRIAGE_RETURN
}

/** Holds the start of an event from earlier chunks, up to the limit. */
function createHead() {
  /** Grows by doubling: a chunk can be a single byte. */
  let held = NOTHING
  /** Bytes past the limit are counted but not held. */
  let count = 0

  const release = (tail: Uint8Array) => {
    const bytes = concat([held.subarray(0, count), tail])
    held = NOTHING
    return bytes
  }

  const hold = (bytes: Uint8Array) => {
    const size = count + bytes.length
    if (size > held.length) {
      const grown = new Uint8Array(Math.min(2 * size, MAX_EVENT_BYTES))
      grown.set(held)
      held = grown
    }
    held.set(bytes, count)
    return NOTHING
  }

  return {
    /** Returns what is not held and must be passed on. */
    append(bytes: Uint8Array): Uint8Array {
      const isTooLong = count + bytes.length > MAX_EVENT_BYTES
      const passed = isTooLong ? release(bytes) : hold(bytes)
      count += bytes.length
      return passed
    },
    /** Returns the event with its last bytes, or, past the limit, what was not passed on yet. */
    complete(tail: Uint8Array) {
      const isWhole = count + tail.length <= MAX_EVENT_BYTES
      const bytes = release(tail)
      count = 0
      return { bytes, isWhole }
    },
  }
}

/** An event with its data rewritten; `null` where it is dropped. */
function mapEvent(event: string, mapData: (data: string) => string | null): string | null {
  const data = dataOf(event)
  // WHATWG HTML §9.2.6: then there is no event.
  if (data === '') return event
  const mapped = mapData(data)
  if (mapped === null) return null
  if (mapped === data) return event
  const lines = mapped.split('\n')
  // All of them stand where the first data line stood.
  return event.replace(DATA_LINE, (_line, before: string, _value, lineEnd: string) => {
    const fields = lines.splice(0).map((line) => `data: ${line}`)
    return fields.length > 0 ? before + fields.join(lineEnd) : ''
  })
}

function dataOf(event: string): string {
  const values: string[] = []
  for (const [, , value = ''] of event.matchAll(DATA_LINE)) values.push(value)
  return values.join('\n')
}
