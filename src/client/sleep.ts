import { orAborted } from './or-aborted.ts'

/** Waits. It rejects with the reason of the signal as soon as the signal is aborted. */
export type Sleep = (ms: number, signal: AbortSignal) => Promise<void>

/** Waits on a timer, and removes the timer if it is not needed any more. */
export const sleepOnTimer: Sleep = (ms, signal) => {
  let timer: ReturnType<typeof setTimeout> | undefined
  const time = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))
  return orAborted(time, signal).finally(() => clearTimeout(timer))
}
