/** Waits for some work, but no longer than until the signal is aborted. It rejects with the reason of the signal. */
export function orAborted<value>(work: Promise<value>, signal: AbortSignal): Promise<value> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason as Error)
    signal.addEventListener('abort', stop, { once: true })
    const finish = () => signal.removeEventListener('abort', stop)
    work.then(resolve, reject).finally(finish)
  })
}
