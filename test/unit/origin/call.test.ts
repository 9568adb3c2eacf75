import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { callOrigin } from '../../../src/origin/call.ts'
import type { OriginTarget } from '../../../src/origin/target.ts'

const MINUTES = 60_000
const BOUNDS = { timeoutMs: 30_000, limitBytes: 1_000_000 }
const REQUEST = { method: 'POST', path: '/payments', headers: [], body: null }

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** An origin whose answer has no end: a byte a second. */
function endlessOrigin(status: number): OriginTarget {
  const fetch = async ({ signal }: Request) => {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        const dripping = setInterval(() => controller.enqueue(Uint8Array.of(46)), 1_000)
        signal.addEventListener('abort', () => {
          clearInterval(dripping)
          controller.error(signal.reason)
        })
      },
    })
    return new Response(body, { status })
  }
  const target = { base: 'http://origin', urlOf: (path: string) => `http://origin${path}`, fetch }
  return target as unknown as OriginTarget
}

describe('callOrigin', () => {
  it.each([500, 503, 200])(
    'gives an answer up that is collected and has not come to its end after 15 minutes: %i',
    async (status) => {
      let reply: unknown = null
      const call = callOrigin(endlessOrigin(status), REQUEST, BOUNDS).then((end) => (reply = end))
      await vi.advanceTimersByTimeAsync(14 * MINUTES)
      expect(reply).toBeNull()
      await vi.advanceTimersByTimeAsync(MINUTES)
      const end = { kind: 'fault', fault: 'timeout', originStatus: status, directive: null }
      expect(reply).toEqual(end)
      await call
      expect(vi.getTimerCount()).toBe(0)
    },
  )
})
