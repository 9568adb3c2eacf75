import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import type { Settlement } from '../../../src/core/operation/settle.ts'
import type { OriginFault } from '../../../src/core/outcome/outcome.ts'
import type { LiveBody } from '../../../src/core/outcome/reply.ts'
import { PIECE_BYTES } from '../../../src/object/pieces.ts'
import { Recording } from '../../../src/object/recording.ts'
import { Sealer } from '../../../src/object/sealer.ts'
import { pumpBody } from '../../../src/object/stream-answer.ts'
import { snapshotOf } from '../../fakes/build.ts'

const MINUTES = 60_000

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** A body without an end: a chunk a second, until it is cancelled. */
function endlessBody(chunk: Uint8Array): LiveBody & { readonly isCancelled: () => boolean } {
  let isCancelled = false
  const cancelled = Promise.withResolvers<null>()
  return {
    next: () =>
      Promise.race([
        new Promise<Uint8Array>((resolve) => setTimeout(resolve, 1_000, chunk)),
        cancelled.promise,
      ]),
    faultOf: () => 'lost',
    cancel() {
      isCancelled = true
      cancelled.resolve(null)
    },
    isCancelled: () => isCancelled,
  }
}

const unknownOf = (fault: OriginFault): Settlement => ({
  outcome: 'unknown',
  reason: 'origin-timeout',
  evidence: { originStatus: 200, fault },
})

/** Records it with room for so many bytes; `settled` is what it was settled with so far. */
function record(body: LiveBody, limitBytes: number, onDisk: Promise<void> = Promise.resolve()) {
  const settled: (Settlement['outcome'] | OriginFault)[] = []
  const store = { write: async () => {}, read: async () => null }
  const recording = new Recording(store, { giveUp: () => body.cancel() })
  const done = pumpBody(body, recording, {
    limitBytes,
    sealer: new Sealer({ operationId: 'id', fence: 1 }, null),
    isSpilled: false,
    onChunk: null,
    toSettlement: async (_, cut) =>
      cut === null
        ? {
            outcome: 'succeeded',
            snapshot: snapshotOf(),
            retentionMs: null,
            evidence: { originStatus: 200, fault: null },
          }
        : unknownOf(cut),
    toFault: unknownOf,
    close: async ({ outcome, evidence }) => {
      settled.push(evidence.fault ?? outcome)
      await onDisk
    },
  })
  return { recording, done, settled }
}

describe('pumpBody of a body without an end', () => {
  it.each([
    { name: 'within the limit', limitBytes: 1_000_000 },
    { name: 'over the limit', limitBytes: 5 },
  ])(
    'gives it up when nobody has read it for 15 minutes, as a timeout, $name',
    async ({ limitBytes }) => {
      const body = endlessBody(Uint8Array.of(1, 2))
      const { recording, done, settled } = record(body, limitBytes)
      const first = recording.openFirst().getReader()
      await vi.advanceTimersByTimeAsync(5_000)
      await first.cancel()
      await vi.advanceTimersByTimeAsync(15 * MINUTES - 1_000)
      expect([body.isCancelled(), settled]).toEqual([false, []])
      await vi.advanceTimersByTimeAsync(1_000)
      await done
      expect([body.isCancelled(), settled]).toEqual([true, ['timeout']])
    },
  )

  it('goes on for as long as somebody reads it, and counts anew when that one leaves', async () => {
    const body = endlessBody(Uint8Array.of(1))
    const { recording, done, settled } = record(body, PIECE_BYTES)
    const first = recording.openFirst().getReader()
    await first.cancel()
    await vi.advanceTimersByTimeAsync(14 * MINUTES)
    const joined = recording.openJoined()
    const reading = new AbortController()
    const read = joined.pipeTo(new WritableStream(), { signal: reading.signal }).catch(() => {})
    await vi.advanceTimersByTimeAsync(60 * MINUTES)
    expect(body.isCancelled()).toBe(false)
    reading.abort()
    await read
    await vi.advanceTimersByTimeAsync(15 * MINUTES)
    await done
    expect(settled).toEqual(['timeout'])
  })

  it('does not count a reader that takes nothing any more', async () => {
    const body = endlessBody(Uint8Array.of(1))
    const { recording, done, settled } = record(body, PIECE_BYTES)
    const stalled = recording.openFirst().getReader()
    await vi.advanceTimersByTimeAsync(50 * MINUTES)
    await done
    expect(settled).toEqual(['timeout'])
    await expect(stalled.read()).rejects.toThrow('not read')
  })

  it('leaves one that has ended alone', async () => {
    const chunks = [Uint8Array.of(1), null]
    const cancel = vi.fn()
    const next = async () => chunks.shift() ?? null
    const body: LiveBody = { next, faultOf: () => 'lost', cancel }
    const { recording, done, settled } = record(body, PIECE_BYTES)
    await recording.openFirst().cancel()
    await done
    await vi.advanceTimersByTimeAsync(60 * MINUTES)
    expect([settled, cancel.mock.calls]).toEqual([['succeeded'], []])
  })
})

describe('pumpBody of a body that ends', () => {
  const bodyOf = (...chunks: Uint8Array[]): LiveBody => {
    const next = async () => chunks.shift() ?? null
    return { next, faultOf: () => 'lost', cancel: () => {} }
  }

  it.each([
    { name: 'within the limit', limitBytes: PIECE_BYTES },
    { name: 'over the limit', limitBytes: 0 },
  ])('gives its end out only when the settle is on disk, $name', async ({ limitBytes }) => {
    const { promise: onDisk, resolve } = Promise.withResolvers<void>()
    const { recording, done, settled } = record(bodyOf(Uint8Array.of(1)), limitBytes, onDisk)
    let isOver = false
    const read = new Response(recording.openFirst()).bytes().then((bytes) => {
      isOver = true
      return bytes
    })
    await vi.advanceTimersByTimeAsync(1_000)
    expect([settled, isOver]).toEqual([['succeeded'], false])
    resolve()
    expect(await read).toEqual(Uint8Array.of(1))
    await done
  })

  it('breaks off where the settle does not come to the disk', async () => {
    const lost = Promise.reject(new Error('disk I/O error'))
    const { recording, done } = record(bodyOf(Uint8Array.of(1)), PIECE_BYTES, lost)
    await expect(new Response(recording.openFirst()).bytes()).rejects.toThrow('broke off')
    await done
  })
})
