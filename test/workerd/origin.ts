import { vi } from 'vitest'

import { until } from './until.ts'

type Answer = (request: Request) => Response | Promise<Response>

/** The origin is not ours, so it is played: every outbound `fetch` of Worker and objects comes here. */
export function playOrigin(answer: Answer) {
  const requests: Request[] = []
  vi.spyOn(globalThis, 'fetch').mockImplementation(async (input, init) => {
    const request = new Request(input, init)
    requests.push(request)
    return answer(request)
  })
  return { requests }
}

/**
 * An origin that answers only when it is told to.
 *
 * `asked` polls on the test's own timer: a promise resolved by the object would carry the test on
 * inside the object's turn, and aborting the object there crashes workerd.
 */
export function playSlowOrigin(answer: Answer) {
  const released = Promise.withResolvers<void>()
  const origin = playOrigin(async (request) => {
    await released.promise
    return answer(request)
  })
  return {
    ...origin,
    asked: () => until(() => origin.requests.length > 0),
    release: () => released.resolve(),
  }
}
