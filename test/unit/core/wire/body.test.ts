import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'

import {
  ALONE_MS,
  collectBody,
  continueBody,
  type OverLimit,
  type Watch,
} from '../../../../src/core/wire/body.ts'

const LIMIT = 4

/** A stream of these chunks, and what was done to it. */
function streamOf(chunks: readonly Uint8Array[], fault?: Error) {
  const seen = { pulls: 0, isCancelled: false }
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const chunk = chunks[seen.pulls++]
        if (chunk !== undefined) return controller.enqueue(chunk)
        if (fault === undefined) controller.close()
        else controller.error(fault)
      },
      cancel() {
        seen.isCancelled = true
      },
    },
    { highWaterMark: 0 },
  )
  return { stream, seen }
}

const bytesOf = (...values: readonly number[]) => Uint8Array.from(values)

async function readAll(stream: ReadableStream<Uint8Array>): Promise<number[]> {
  return [...new Uint8Array(await new Response(stream).arrayBuffer())]
}

async function overLimit(chunks: readonly Uint8Array[], fault?: Error) {
  const { stream, seen } = streamOf(chunks, fault)
  const collected = await collectBody(stream, LIMIT)
  if (collected.kind !== 'over') throw new Error('The body was meant to be over the limit.')
  return { over: collected satisfies OverLimit, seen }
}

/** Notes what it is told. */
function notingWatch(): Watch & { readonly notes: string[] } {
  const notes: string[] = []
  return { notes, restart: () => notes.push('restart'), stop: () => notes.push('stop') }
}

describe('collectBody', () => {
  it.each([
    { name: 'no body', chunks: null, expected: [] },
    { name: 'an empty body', chunks: [], expected: [] },
    { name: 'one chunk', chunks: [bytesOf(1, 2)], expected: [1, 2] },
    {
      name: 'exactly as much as the limit',
      chunks: [bytesOf(1, 2, 3), bytesOf(4)],
      expected: [1, 2, 3, 4],
    },
    {
      name: 'an empty chunk between',
      chunks: [bytesOf(1), bytesOf(), bytesOf(2)],
      expected: [1, 2],
    },
  ])('reads $name', async ({ chunks, expected }) => {
    const stream = chunks === null ? null : streamOf(chunks).stream
    expect(await collectBody(stream, LIMIT)).toEqual({ kind: 'whole', bytes: bytesOf(...expected) })
  })

  it('stops at the first byte over the limit', async () => {
    const { over, seen } = await overLimit([bytesOf(1, 2, 3, 4), bytesOf(5), bytesOf(6)])
    expect(over.head).toEqual([bytesOf(1, 2, 3, 4), bytesOf(5)])
    expect(seen.pulls).toBe(2)
  })

  it('takes nothing at all where the limit is 0', async () => {
    expect(await collectBody(streamOf([]).stream, 0)).toMatchObject({ kind: 'whole' })
    expect(await collectBody(streamOf([bytesOf(1)]).stream, 0)).toMatchObject({ kind: 'over' })
  })

  it('breaks as the stream breaks', async () => {
    const fault = new Error('reset by peer')
    await expect(collectBody(streamOf([bytesOf(1)], fault).stream, LIMIT)).rejects.toBe(fault)
  })

  it('sets the watch anew at every chunk', async () => {
    const watch = notingWatch()
    await collectBody(streamOf([bytesOf(1), bytesOf(2)]).stream, LIMIT, watch)
    expect(watch.notes).toEqual(['restart', 'restart'])
  })
})

describe('continueBody', () => {
  it('gives every byte once and in order, however the body is cut', async () => {
    const chunk = fc.uint8Array({ minLength: 1, maxLength: 9 })
    await fc.assert(
      fc.asyncProperty(fc.array(chunk, { minLength: LIMIT + 1, maxLength: 9 }), async (chunks) => {
        const expected = chunks.flatMap((bytes) => [...bytes])
        const { over } = await overLimit(chunks)
        expect(await readAll(continueBody(over))).toEqual(expected)
      }),
    )
  })

  it('breaks as the rest of the stream breaks', async () => {
    const { over } = await overLimit([bytesOf(1, 2, 3, 4, 5)], new Error('reset by peer'))
    await expect(readAll(continueBody(over))).rejects.toThrow('reset by peer')
  })

  it('reads on to the end when its reader goes away, so that the maker can finish', async () => {
    const { over, seen } = await overLimit([bytesOf(1, 2, 3, 4, 5), bytesOf(6), bytesOf(7)])
    await continueBody(over).cancel()
    expect(seen).toEqual({ pulls: 4, isCancelled: false })
  })

  it('reads on for a bounded time only, which is taken back at the end', async () => {
    const takeBack = vi.fn()
    const breakIn = vi.fn(() => takeBack)
    const { over } = await overLimit([bytesOf(1, 2, 3, 4, 5), bytesOf(6)])
    await continueBody(over, { restart() {}, stop() {}, breakIn }).cancel()
    expect(breakIn.mock.calls).toEqual([[ALONE_MS]])
    expect(takeBack).toHaveBeenCalledTimes(1)
  })

  it('tells nobody when what is read on for nobody breaks off', async () => {
    const { over } = await overLimit([bytesOf(1, 2, 3, 4, 5)], new Error('given up'))
    await expect(continueBody(over).cancel()).resolves.toBeUndefined()
  })

  it('is watched in every silence, and no longer at the end', async () => {
    const watch = notingWatch()
    const { over } = await overLimit([bytesOf(1, 2, 3, 4, 5), bytesOf(6)])
    await readAll(continueBody(over, watch))
    expect(watch.notes).toEqual(['restart', 'stop', 'restart', 'stop'])
  })
})
