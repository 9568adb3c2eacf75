import { readRetryAfter } from '../core/retry/retry-after.ts'
import type { Settings } from './fetch-options.ts'
import { discard, type Sending, type Sent, sendUntilFinal } from './send-until-final.ts'

/** The shortest time between two polls, in milliseconds. */
const MIN_POLL_MS = 1_000

/** Whether Hapax has accepted the operation, and its result comes later. */
export const isAccepted = ({ response }: Sent): boolean =>
  response?.status === 202 && response.headers.get('Idempotency-Status') === 'accepted'

/**
 * Polls an accepted operation until it has ended, and fetches its result.
 *
 * @returns The result, or what came in its place. The 202, if the deadline comes before it.
 */
export async function followAccepted(
  accepted: Sent,
  { request, signal, call }: Sending,
  settings: Settings,
): Promise<Sent> {
  const { now, sleep, timeoutMs } = settings
  const { response, headers, deadlineAt } = accepted
  // A browser hides it, unless the API exposes it.
  const url = new URL(response?.headers.get('Location') ?? 'about:', request.url)
  // The credentials of the request are for its own origin.
  if (url.origin !== new URL(request.url).origin) return accepted
  // Polls count anew.
  headers.delete('Idempotency-Attempt')
  const get = (fields: Readonly<Record<string, string>>) => {
    const poll = new Request(url, {
      // The key can be needed to open the result, and the deadline is the same.
      headers: { ...Object.fromEntries(headers), ...fields },
      signal,
      // Not every runtime has them.
      credentials: (request as { credentials?: string }).credentials,
    } as RequestInit)
    return sendUntilFinal({ request: poll, signal, call }, settings)
  }
  // A poll must not be given up while the gateway waits.
  const prefer = `wait=${Math.min(30, Math.floor(timeoutMs / 2_000))}`
  for (;;) {
    // oxlint-disable-next-line no-await-in-loop -- one poll after the other
    const polled = await get({ accept: 'application/json', prefer })
    if (polled.response?.ok !== true) return polled
    discard(polled.response)
    const minimumMs = readRetryAfter([...polled.response.headers], now())
    if (minimumMs === null) break
    const delayMs = Math.max(MIN_POLL_MS, minimumMs)
    if (now() + delayMs >= deadlineAt) return accepted
    // oxlint-disable-next-line no-await-in-loop -- the pause between two polls
    await sleep(delayMs, signal)
  }
  discard(response)
  url.pathname += '/result'
  return get({})
}
