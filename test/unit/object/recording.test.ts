import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'

import { concat } from '../../../src/core/bytes.ts'
import { type PartStore, PIECE_BYTES } from '../../../src/object/pieces.ts'
import { Recording, type Surroundings } from '../../../src/object/recording.ts'

/** Pieces in memory; what was written is told. */
function memoryStore(): PartStore & { readonly parts: Map<number, Uint8Array<ArrayBuffer>> } {
  const parts = new Map<number, Uint8Array<ArrayBuffer>>()
  return {
    parts,
    async write(part, bytes) {
      parts.set(part, bytes.slice())
    },
    async read(part) {
      return parts.get(part) ?? null
    },
  }
}

function recordingOf(surroundings: Surroundings = {}) {
  const store = memoryStore()
  return { store, recording: new Recording(store, surroundings) }
}

const bytesOf = (...bytes: readonly number[]) => Uint8Array.from(bytes)

/** So many bytes, none like its neighbours. */
const manyBytes = (length: number) => Uint8Array.from({ length }, (_, index) => index % 251)

async function readAll(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  const reader = stream.getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return concat(chunks)
    chunks.push(value)
  }
}

/** Whether a promise is still open after everything that can happen by itself. */
async function isOpen(promise: Promise<unknown>): Promise<boolean> {
  const open = Symbol('open')
  const soon = new Promise((resolve) => setTimeout(resolve, 5, open))
  return (await Promise.race([promise.catch(() => null), soon])) === open
}

describe('Recording', () => {
  it('gives everybody the same bytes, whenever they come and however they are cut', async () => {
    const chunk = fc.uint8Array({ maxLength: 40 })
    await fc.assert(
      fc.asyncProperty(fc.array(chunk, { maxLength: 12 }), fc.nat(12), async (chunks, at) => {
        const { recording } = recordingOf()
        const readers = [readAll(recording.openFirst()), readAll(recording.openJoined())]
        for (const [index, each] of chunks.entries()) {
          if (index === at) readers.push(readAll(recording.openJoined()))
          await recording.write(each)
        }
        recording.end()
        readers.push(readAll(recording.openJoined()))
        const whole = concat(chunks)
        expect(recording.bytes).toBe(whole.byteLength)
        for (const read of await Promise.all(readers)) expect(read).toEqual(whole)
      }),
      { numRuns: 50 },
    )
  })

  it('keeps the bytes of a chunk whose buffer its reader takes away', async () => {
    const { recording } = recordingOf()
    await recording.write(bytesOf(1, 2, 3))
    recording.end()
    const first = await readAll(recording.openFirst())
    structuredClone(first, { transfer: [first.buffer as ArrayBuffer] })
    expect(await readAll(recording.openJoined())).toEqual(bytesOf(1, 2, 3))
  })

  it.each([
    { name: 'a byte less than a piece', bytes: PIECE_BYTES - 1, parts: 0 },
    { name: 'a piece', bytes: PIECE_BYTES, parts: 1 },
    { name: 'a byte more than a piece', bytes: PIECE_BYTES + 1, parts: 1 },
    { name: 'two pieces and a half', bytes: Math.floor(PIECE_BYTES * 2.5), parts: 2 },
  ])('stores whole pieces of $name, and leaves the rest to the settle', async (row) => {
    const { recording, store } = recordingOf()
    const body = manyBytes(row.bytes)
    const middle = Math.floor(row.bytes / 3)
    await recording.write(body.subarray(0, middle))
    await recording.write(body.subarray(middle))
    const { firstPart, bytes } = recording.unstored()
    expect([...store.parts.keys()]).toEqual([0, 1].slice(0, row.parts))
    expect([...store.parts.values()].map(({ byteLength }) => byteLength)).toEqual(
      Array.from({ length: row.parts }, () => PIECE_BYTES),
    )
    expect(firstPart).toBe(row.parts)
    expect(bytes.byteLength).toBe(row.bytes - row.parts * PIECE_BYTES)
    recording.end()
    const read = await readAll(recording.openJoined())
    expect(Buffer.compare(read, body)).toBe(0)
  })

  it('stores the rest too when it is told to, once', async () => {
    const { recording, store } = recordingOf()
    await recording.write(bytesOf(1, 2))
    await recording.flush()
    await recording.flush()
    expect([...store.parts]).toEqual([[0, bytesOf(1, 2)]])
    expect(recording.unstored()).toEqual({ firstPart: 1, bytes: new Uint8Array() })
    expect(recording.bytes).toBe(2)
    recording.end()
    expect(await readAll(recording.openFirst())).toEqual(bytesOf(1, 2))
  })

  it('waits for no reader while it is below the limit, and reads what is stored for a slow one', async () => {
    const { recording } = recordingOf()
    const slow = recording.openFirst().getReader()
    await recording.write(bytesOf(1))
    expect(await slow.read()).toMatchObject({ value: bytesOf(1) })
    const rest = manyBytes(PIECE_BYTES + 5)
    await recording.write(rest)
    recording.end()
    slow.releaseLock()
    expect(recording.unstored().bytes).toHaveLength(6)
  })

  it('lets a slow reader have what has gone to rows meanwhile, from where it stood', async () => {
    const { recording } = recordingOf()
    const stream = recording.openJoined()
    const slow = stream.getReader()
    await recording.write(bytesOf(7))
    expect(await slow.read()).toMatchObject({ value: bytesOf(7) })
    slow.releaseLock()
    const rest = manyBytes(PIECE_BYTES + 5)
    await recording.write(rest)
    recording.end()
    expect(Buffer.compare(await readAll(stream), rest)).toBe(0)
  })

  it('shows everybody that the body broke off, after what there is of it', async () => {
    const { recording } = recordingOf()
    const readers = [recording.openFirst(), recording.openJoined()].map((each) => each.getReader())
    await recording.write(bytesOf(1))
    for (const reader of readers) {
      expect(await reader.read()).toMatchObject({ value: bytesOf(1) })
    }
    const waiting = readers.map((reader) => reader.read())
    recording.break()
    for (const read of waiting) await expect(read).rejects.toThrow('broke off')
    const late = recording.openJoined().getReader()
    expect(await late.read()).toMatchObject({ value: bytesOf(1) })
    await expect(late.read()).rejects.toThrow('broke off')
  })

  it('fails for its reader where a stored piece is gone, and does not shorten the body', async () => {
    const { recording, store } = recordingOf()
    await recording.write(manyBytes(PIECE_BYTES))
    store.parts.clear()
    recording.end()
    await expect(readAll(recording.openJoined())).rejects.toThrow('gone')
  })

  it('gives a reader all that has come meanwhile in one go', async () => {
    const { recording } = recordingOf()
    const chunks = Array.from({ length: 1_000 }, (_, index) => bytesOf(index % 251))
    for (const chunk of chunks) await recording.write(chunk)
    const reader = recording.openJoined().getReader()
    expect(await reader.read()).toMatchObject({ value: concat(chunks) })
    for (const chunk of chunks) await recording.write(chunk)
    expect(await reader.read()).toMatchObject({ value: concat(chunks) })
  })

  it('gathers for a reader of many small chunks what comes one after the other', async () => {
    const { recording } = recordingOf()
    const reader = recording.openJoined().getReader()
    for (let nth = 0; nth < 40; nth++) {
      await recording.write(bytesOf(nth))
      await reader.read()
    }
    const next = reader.read()
    await recording.write(bytesOf(1))
    await Promise.resolve()
    await recording.write(bytesOf(2))
    expect(await next).toMatchObject({ value: bytesOf(1, 2) })
    const last = reader.read()
    await recording.write(bytesOf(3))
    recording.end()
    expect(await last).toMatchObject({ value: bytesOf(3) })
    expect(await reader.read()).toMatchObject({ done: true })
  })

  it('wakes a reader that asks in the very moment in which a chunk comes', async () => {
    for (let microtasks = 0; microtasks < 8; microtasks++) {
      const { recording } = recordingOf()
      const reader = recording.openFirst().getReader()
      await recording.write(bytesOf(1))
      await reader.read()
      const next = reader.read()
      for (let each = 0; each < microtasks; each++) await Promise.resolve()
      await recording.write(bytesOf(2))
      expect(await isOpen(next)).toBe(false)
    }
  })

  it('ends an empty body', async () => {
    const { recording } = recordingOf()
    await recording.write(new Uint8Array())
    const waiting = readAll(recording.openFirst())
    recording.end()
    expect(await waiting).toHaveLength(0)
    expect(recording.unstored()).toEqual({ firstPart: 0, bytes: new Uint8Array() })
  })

  it('goes into the buffer of a reader that brings one', async () => {
    const { recording } = recordingOf()
    await recording.write(bytesOf(1, 2, 3))
    recording.end()
    const reader = recording.openFirst().getReader({ mode: 'byob' })
    const chunks: Uint8Array[] = []
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(2))
      if (done) break
      chunks.push(value)
    }
    expect(concat(chunks)).toEqual(bytesOf(1, 2, 3))
  })
})

describe('Recording of a body over the limit', () => {
  it('gives all of it to the first client, at its pace', async () => {
    const { recording } = recordingOf()
    await recording.write(bytesOf(1))
    const reader = recording.openFirst().getReader()
    const passed = recording.pass(bytesOf(2))
    expect(await isOpen(passed)).toBe(true)
    expect(await reader.read()).toMatchObject({ value: bytesOf(1) })
    expect(await reader.read()).toMatchObject({ value: bytesOf(2) })
    await passed
    await recording.pass(new Uint8Array())
    const last = recording.pass(bytesOf(3))
    expect(await reader.read()).toMatchObject({ value: bytesOf(3) })
    await last
    recording.end()
    expect(await reader.read()).toMatchObject({ done: true })
    expect(recording.bytes).toBe(1)
  })

  it('gives the first client all of it, wherever the limit lies and however it is cut', async () => {
    const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 20 }), { maxLength: 10 })
    await fc.assert(
      fc.asyncProperty(chunks, chunks, async (below, above) => {
        const { recording } = recordingOf()
        const read = readAll(recording.openFirst())
        for (const chunk of below) await recording.write(chunk)
        for (const chunk of above) await recording.pass(chunk)
        recording.end()
        expect(await read).toEqual(concat([...below, ...above]))
      }),
      { numRuns: 50 },
    )
  })

  it('breaks for the others, who cannot have all of it', async () => {
    const { recording } = recordingOf()
    await recording.write(bytesOf(1))
    const first = readAll(recording.openFirst())
    const joined = recording.openJoined().getReader()
    expect(await joined.read()).toMatchObject({ value: bytesOf(1) })
    const next = joined.read()
    await recording.pass(bytesOf(2))
    await expect(next).rejects.toThrow('broke off')
    await expect(readAll(recording.openJoined())).rejects.toThrow('broke off')
    recording.end()
    expect(await first).toEqual(bytesOf(1, 2))
  })

  it.each([
    { when: 'before it comes', isEarly: true },
    { when: 'while its next chunk waits for it', isEarly: false },
  ])('goes on without the first client, when that leaves $when', async ({ isEarly }) => {
    const { recording } = recordingOf()
    await recording.write(bytesOf(1))
    const reader = recording.openFirst().getReader()
    expect(await reader.read()).toMatchObject({ value: bytesOf(1) })
    if (isEarly) await reader.cancel()
    const passed = recording.pass(bytesOf(2))
    expect(await isOpen(passed)).toBe(!isEarly)
    await reader.cancel()
    await passed
    await recording.pass(bytesOf(3))
    recording.end()
    expect(recording.bytes).toBe(1)
  })

  it('goes on without the first client that leaves while it waits for a chunk', async () => {
    const { recording } = recordingOf()
    const reader = recording.openFirst().getReader()
    const waiting = reader.read()
    await reader.cancel()
    expect(await waiting).toMatchObject({ done: true })
    await recording.pass(bytesOf(1))
    await recording.write(bytesOf(2))
    recording.end()
  })

  it('breaks for the first client too where the origin breaks off', async () => {
    const { recording } = recordingOf()
    const reader = recording.openFirst().getReader()
    const passed = recording.pass(bytesOf(1))
    expect(await reader.read()).toMatchObject({ value: bytesOf(1) })
    await passed
    recording.break()
    await expect(reader.read()).rejects.toThrow('broke off')
  })
})

describe('Recording and a client that leaves', () => {
  it('records all of it for the others when the first client leaves', async () => {
    const { recording } = recordingOf()
    const first = recording.openFirst().getReader()
    const joined = readAll(recording.openJoined())
    await recording.write(bytesOf(1))
    await first.cancel()
    await recording.write(bytesOf(2))
    recording.end()
    expect(await joined).toEqual(bytesOf(1, 2))
    expect(recording.unstored().bytes).toEqual(bytesOf(1, 2))
  })

  it('is nothing to the first client when another one leaves', async () => {
    const { recording } = recordingOf()
    const first = readAll(recording.openFirst())
    const joined = recording.openJoined().getReader()
    const waiting = joined.read()
    await joined.cancel()
    expect(await waiting).toMatchObject({ done: true })
    await recording.write(bytesOf(1))
    await recording.pass(bytesOf(2))
    recording.end()
    expect(await first).toEqual(bytesOf(1, 2))
  })
})

describe('Recording that somebody cannot have all of', () => {
  it('breaks for a slow duplicate also when all of a body over the limit has come', async () => {
    const { recording } = recordingOf()
    await recording.write(bytesOf(1))
    const first = readAll(recording.openFirst())
    const joined = recording.openJoined()
    await recording.pass(bytesOf(2))
    recording.end()
    expect(await first).toEqual(bytesOf(1, 2))
    await expect(readAll(joined)).rejects.toThrow('broke off')
  })

  it('goes on without a first client whose stream has failed', async () => {
    const { recording, store } = recordingOf()
    const reader = recording.openFirst().getReader()
    await recording.write(manyBytes(PIECE_BYTES))
    store.parts.clear()
    await expect(reader.read()).rejects.toThrow('gone')
    expect(await isOpen(recording.pass(bytesOf(1)))).toBe(false)
  })
})

describe('Recording and its stored pieces', () => {
  const held = () => {
    const letGo = vi.fn()
    const hold = vi.fn(() => letGo)
    return { hold, letGo }
  }

  it('holds them from the first one on, until it is closed and nobody reads any more', async () => {
    const { hold, letGo } = held()
    const { recording } = recordingOf({ hold })
    const first = recording.openFirst()
    const joined = recording.openJoined()
    await recording.write(bytesOf(1))
    expect(hold).not.toHaveBeenCalled()
    await recording.write(manyBytes(2 * PIECE_BYTES))
    expect(hold).toHaveBeenCalledTimes(1)
    await joined.cancel()
    recording.end()
    expect(letGo).not.toHaveBeenCalled()
    await readAll(first)
    expect(letGo).toHaveBeenCalledTimes(1)
  })

  it.each([
    { name: 'ends', close: (recording: Recording) => recording.end() },
    { name: 'breaks off', close: (recording: Recording) => recording.break() },
  ])('lets them go when it $name and nobody is there', async ({ close }) => {
    const { hold, letGo } = held()
    const { recording } = recordingOf({ hold })
    await recording.openFirst().cancel()
    await recording.write(manyBytes(PIECE_BYTES))
    expect(letGo).not.toHaveBeenCalled()
    close(recording)
    expect(letGo).toHaveBeenCalledTimes(1)
  })

  it('tells once how its first client has ended', async () => {
    const ends: string[] = []
    const whole = recordingOf().recording
    const reading = readAll(whole.openFirst((how) => ends.push(how)))
    whole.end()
    await reading
    const left = recordingOf().recording
    await left.openFirst((how) => ends.push(how)).cancel()
    left.end()
    const broken = recordingOf().recording
    const reader = broken.openFirst((how) => ends.push(how)).getReader()
    broken.break()
    await expect(reader.read()).rejects.toThrow('broke off')
    expect(ends).toEqual(['whole', 'left', 'left'])
  })
})
