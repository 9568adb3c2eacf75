import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import {
  createEventReader,
  mapEvents,
  MAX_EVENT_BYTES,
} from '../../../../src/core/wire/event-stream.ts'

const encoder = new TextEncoder()

/** Puts chunks through, and returns what comes out, chunk by chunk. */
async function passChunks(
  chunks: readonly Uint8Array[],
  mapData: (data: string) => string | null,
): Promise<Uint8Array[]> {
  const source = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk)
      controller.close()
    },
  })
  const out: Uint8Array[] = []
  for await (const chunk of source.pipeThrough(mapEvents(mapData))) out.push(chunk)
  return out
}

async function passBytes(chunks: readonly Uint8Array[], mapData: (data: string) => string | null) {
  return Buffer.concat(await passChunks(chunks, mapData))
}

async function pass(text: string, mapData: (data: string) => string | null): Promise<string> {
  return (await passBytes([encoder.encode(text)], mapData)).toString()
}

/** Cuts bytes into chunks of these sizes, over and over. */
function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = []
  let start = 0
  for (let count = 0; start < bytes.length; count += 1) {
    const end = start + (sizes[count % sizes.length] ?? 1)
    chunks.push(bytes.slice(start, end))
    start = end
  }
  return chunks
}

/** What a client sees of a stream: the algorithm of WHATWG HTML §9.2.6, line by line. */
function interpret(text: string): { data: string; event: string; id: string }[] {
  const events: { data: string; event: string; id: string }[] = []
  let data: string[] = []
  let event = ''
  let id = ''
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)
  for (const line of lines.slice(0, -1)) {
    const [, field = line, value = ''] = /^([^:]*): ?(.*)$/s.exec(line) ?? []
    if (field === 'data') data.push(value)
    if (field === 'event') event = value
    if (field === 'id') id = value
    if (line !== '') continue
    if (data.join('\n') !== '') events.push({ data: data.join('\n'), event, id })
    data = []
    event = ''
  }
  return events
}

const lineEnd = fc.constantFrom('\n', '\r', '\r\n')
const value = fc.string({
  unit: fc.constantFrom('a', 'b', ' ', ':', 'é', '😀', '\u2028', '\uFEFF'),
  maxLength: 6,
})
const line = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(fc.constantFrom('data:', 'data: '), value).map((parts) => parts.join('')),
  },
  fc
    .tuple(
      fc.constantFrom('id: ', 'event:', ': ', 'retry: ', 'database: ', ' data: ', 'Data:'),
      value,
    )
    .map((parts) => parts.join('')),
  fc.constantFrom('data', 'datadata: a', '\u2028data: a'),
  { weight: 3, arbitrary: fc.constant('') },
)
const streamText = fc
  .tuple(fc.constantFrom('', '\uFEFF'), fc.array(fc.tuple(line, lineEnd), { maxLength: 30 }), line)
  .map(([mark, lines, rest]) => mark + lines.flat().join('') + rest)
const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 })

/** Drops some events, changes some, leaves some; the changed ones get more and fewer lines. */
function mapSome(data: string): string | null {
  if (data.startsWith('a')) return null
  if (data.startsWith('b')) return `${data}\n\nnew`
  return data.startsWith('é') ? 'one line' : data
}

describe('mapEvents', () => {
  it('shows a client the mapped data and the other fields as they were', async () => {
    await fc.assert(
      fc.asyncProperty(streamText, async (text) => {
        const expected = interpret(text).flatMap((event) => {
          const data = mapSome(event.data)
          return data === null ? [] : [{ ...event, data }]
        })
        const seen = interpret(await pass(text, mapSome))
        // A dropped event takes its id along.
        const withoutIds = ({ data, event }: { data: string; event: string }) => ({ data, event })
        expect(seen.map(withoutIds)).toEqual(expected.map(withoutIds))
      }),
      { numRuns: 2000 },
    )
  })

  it('gives the same bytes however the chunks are cut', async () => {
    await fc.assert(
      fc.asyncProperty(streamText, sizes, async (text, some) => {
        const bytes = encoder.encode(text)
        expect((await passBytes(cut(bytes, some), mapSome)).toString()).toBe(
          await pass(text, mapSome),
        )
      }),
      { numRuns: 1000 },
    )
  })

  it('changes no byte where no data changes, in UTF-8 or not', async () => {
    const noise = fc.uint8Array({ maxLength: 5 })
    const bytes = fc
      .array(
        fc.oneof(
          noise,
          streamText.map((text) => encoder.encode(text)),
        ),
        { maxLength: 5 },
      )
      .map((parts) => Buffer.concat(parts))
    await fc.assert(
      fc.asyncProperty(bytes, sizes, async (all, some) => {
        expect((await passBytes(cut(all, some), (data) => data)).equals(all)).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  it.each([
    { name: 'LF', text: 'data: a\n\n', expected: 'data: x\n\n' },
    { name: 'CR', text: 'data: a\r\r', expected: 'data: x\r\r' },
    { name: 'CRLF', text: 'data: a\r\n\r\n', expected: 'data: x\r\n\r\n' },
    { name: 'no space behind the colon', text: 'data:a\n\n', expected: 'data: x\n\n' },
    { name: 'a second space', text: 'data:  a\n\n', expected: 'data:  a\n\n' },
    { name: 'a byte order mark', text: '\uFEFFdata:a\n\n', expected: 'data: x\n\n' },
    { name: 'a mark behind the start', text: '\n\uFEFFdata:a\n\n', expected: '\n\uFEFFdata:a\n\n' },
    { name: 'an unknown field', text: 'database: a\n\n', expected: 'database: a\n\n' },
    { name: 'a space before the name', text: ' data: a\n\n', expected: ' data: a\n\n' },
    { name: 'no empty line at the end', text: 'data: a\n', expected: 'data: a\n' },
    { name: 'an empty line that does not end', text: 'data: a\n ', expected: 'data: a\n ' },
    {
      name: 'other fields around',
      text: ': c\nevent: message\ndata: a\nid: 7\nretry: 1\n\n',
      expected: ': c\nevent: message\ndata: x\nid: 7\nretry: 1\n\n',
    },
  ])('reads $name', async ({ text, expected }) => {
    expect(await pass(text, (data) => (data === 'a' ? 'x' : data))).toBe(expected)
  })

  it.each([
    { name: 'joined by LF', text: 'data: 1\r\ndata\r\ndata: 2\r\n\r\n', expected: ['1\n\n2'] },
    { name: 'of each event alone', text: 'data: 1\n\ndata: 2\n\n', expected: ['1', '2'] },
    {
      name: 'only where there are some',
      text: ': ping\n\nid: 1\ndata:\n\nevent: a\n\n',
      expected: [],
    },
    {
      name: 'with characters that are no line ends',
      text: 'data: \u2028\n\n',
      expected: ['\u2028'],
    },
  ])('hands out data $name', async ({ text, expected }) => {
    const seen: string[] = []
    await pass(text, (data) => {
      seen.push(data)
      return data
    })
    expect(seen).toEqual(expected)
  })

  it('writes several lines of data where the first one stood', async () => {
    expect(await pass('data: 1\nid: 5\ndata: 2\n\n', () => 'x\n\ny')).toBe(
      'data: x\ndata: \ndata: y\nid: 5\n\n',
    )
  })

  it('keeps the empty line where mixed line ends come together', async () => {
    expect(await pass('data: 1\nid: 5\rdata: 2\n\n', () => 'x')).toBe('data: x\nid: 5\n\n')
  })

  it.each([
    { name: 'before', text: '\ndata: drop\n\n', expected: '\n' },
    { name: 'behind, ended by LF', text: 'data: drop\n\n\n\n', expected: '\n\n' },
    { name: 'behind, ended by CR', text: 'data: drop\r\r\r\n', expected: '\r\n' },
    { name: 'behind, ended by CRLF', text: 'data: drop\r\n\r\n\r\n\n', expected: '\r\n\n' },
  ])('keeps empty lines $name, where it drops an event', async ({ text, expected }) => {
    expect(await pass(text, () => null)).toBe(expected)
  })

  it.each(['\n', '\r', '\r\n'])(
    'drops an event to its last byte where %j ends lines',
    async (end) => {
      const text = ['data: 1', '', 'id: 5', 'data: drop', '', 'data: 3', '', ''].join(end)
      const expected = ['data: 1', '', 'data: 3', '', ''].join(end)
      const drop = (data: string) => (data === 'drop' ? null : data)
      expect(await pass(text, drop)).toBe(expected)
      expect((await passBytes(cut(encoder.encode(text), [1]), drop)).toString()).toBe(expected)
    },
  )

  it.each(['\n\n', '\r\r', '\r\n\r'])(
    'passes an event on as soon as it has ended with %j',
    async (end) => {
      const stream = mapEvents(() => 'x')
      const writer = stream.writable.getWriter()
      const reader = stream.readable.getReader()
      void writer.write(encoder.encode(`data: a${end}`))
      const { value: first } = await reader.read()
      expect(new TextDecoder().decode(first)).toMatch(/^data: x/)
      void writer.write(encoder.encode('\n'))
      const { value: second } = await reader.read()
      expect(new TextDecoder().decode(second)).toBe('\n')
      await Promise.all([writer.close(), reader.read()])
    },
  )

  it('does not touch the chunks that it was given, nor keep them', async () => {
    const chunk = encoder.encode('data: a\n')
    const stream = mapEvents((data) => data)
    const writer = stream.writable.getWriter()
    const text = new Response(stream.readable).text()
    await writer.write(chunk)
    expect(new TextDecoder().decode(chunk)).toBe('data: a\n')
    chunk.fill(0)
    await writer.write(encoder.encode('\n'))
    await writer.close()
    expect(await text).toBe('data: a\n\n')
  })

  const eventOf = (size: number, end: string) =>
    `data: ${'a'.repeat(size - 7 - end.length)}\n${end}`

  it.each([
    { name: 'rewrites an event of 8 MiB', size: MAX_EVENT_BYTES, sizes: [1 << 16], isMapped: true },
    {
      name: 'passes on one of a byte more',
      size: MAX_EVENT_BYTES + 1,
      sizes: [1 << 16],
      isMapped: false,
    },
    {
      name: 'rewrites one in a single chunk',
      size: MAX_EVENT_BYTES,
      sizes: [1 << 25],
      isMapped: true,
    },
    {
      name: 'passes on one of a byte more in a single chunk',
      size: MAX_EVENT_BYTES + 1,
      sizes: [1 << 25],
      isMapped: false,
    },
    {
      name: 'rewrites one cut before its last byte',
      size: MAX_EVENT_BYTES,
      sizes: [MAX_EVENT_BYTES - 1],
      isMapped: true,
    },
    {
      name: 'passes on one of a byte more cut there',
      size: MAX_EVENT_BYTES + 1,
      sizes: [MAX_EVENT_BYTES],
      isMapped: false,
    },
  ])('$name', async ({ size, sizes: some, isMapped }) => {
    const long = eventOf(size, '\r')
    const text = `data: b\r\r${long}\ndata: c\n\n`
    const mapped = await passBytes(cut(encoder.encode(text), some), () => 'x')
    const expected = `data: x\r\r${isMapped ? 'data: x\n\r' : long}\ndata: x\n\n`
    expect(mapped.equals(encoder.encode(expected))).toBe(true)
  })

  it('keeps the last byte of an event of more than 8 MiB that follows a dropped one', async () => {
    const long = `${eventOf(MAX_EVENT_BYTES + 1, '\r')}\n`
    const passed = await passBytes([encoder.encode(`data: a\r\r${long}`)], () => null)
    expect(passed.equals(encoder.encode(long))).toBe(true)
  })

  it('holds no more than 8 MiB of an event', async () => {
    const chunk = encoder.encode('a'.repeat(1 << 20))
    const passed = await passChunks(Array<Uint8Array>(20).fill(chunk), () => 'x')
    expect(passed.map(({ length }) => length >> 20)).toEqual([9, ...Array<number>(11).fill(1)])
  })

  it('takes an event that comes byte by byte', async () => {
    const bytes = encoder.encode(`data: ${'é'.repeat(1 << 16)}\n\n`)
    expect((await passBytes(cut(bytes, [1]), () => 'x')).toString()).toBe('data: x\n\n')
  })
  it('makes nothing of no bytes', async () => {
    expect(await passChunks([], () => 'x')).toEqual([])
    expect(await passChunks([new Uint8Array(), new Uint8Array()], () => 'x')).toEqual([])
  })

  it('emits no chunk for an event that it drops', async () => {
    const chunks = ['data: a\n\n', 'data: b\n\n'].map((text) => encoder.encode(text))
    const passed = await passChunks(chunks, (data) => (data === 'a' ? null : data))
    expect(passed.map((chunk) => new TextDecoder().decode(chunk))).toEqual(['data: b\n\n'])
  })

  it('passes on a fault of the origin behind what came before it', async () => {
    const fault = new Error('The origin has gone.')
    let pulled = 0
    const source = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled += 1
        if (pulled === 1) controller.enqueue(encoder.encode('data: a\n\ndata: b'))
        else controller.error(fault)
      },
    })
    const reader = source.pipeThrough(mapEvents(() => 'x')).getReader()
    const { value: first } = await reader.read()
    expect(new TextDecoder().decode(first)).toBe('data: x\n\n')
    await expect(reader.read()).rejects.toBe(fault)
  })

  it('tells the origin when its reader has gone', async () => {
    const told = Promise.withResolvers<unknown>()
    const source = new ReadableStream<Uint8Array>({ cancel: (reason) => told.resolve(reason) })
    await source.pipeThrough(mapEvents(() => 'x')).cancel('gone')
    expect(await told.promise).toBe('gone')
  })
})

describe('createEventReader', () => {
  const read = (text: string, size: number) => {
    const seen: (string | null)[] = []
    const next = createEventReader((data) => seen.push(data))
    const bytes = new TextEncoder().encode(text)
    for (let at = 0; at < bytes.length; at += size) next(bytes.subarray(at, at + size))
    return seen
  }

  it.each([1, 2, 1000])('reads the data of each event in chunks of %i bytes', (size) => {
    const text =
      '\uFEFFdata: é\r\n\r\n: comment\n\nid: 1\nretry: 5\ndata: \n\nevent: e\rdata: a\rdata:b\r\rdata: cut'
    expect(read(text, size)).toEqual(['é', 'a\nb'])
  })

  it('says that it could not read an event of more than 8 MiB, and reads the next', () => {
    const long = 'x'.repeat(MAX_EVENT_BYTES)
    expect(read(`data: ${long}\n\ndata: next\n\n`, 65_536)).toEqual([null, 'next'])
  })
})
