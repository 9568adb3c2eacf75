import { errorName } from '../core/error-name.ts'
import { recoveryDelayMs } from '../core/operation/recovery.ts'
import { logFault } from '../metrics/log.ts'

/**
 * An alarm that does not fail. The platform gives up an alarm that has thrown six times in a row. So
 * failures are logged, and the alarm comes again after a pause: 5 s at first, doubling to 5 minutes.
 */
export class Alarm {
  readonly #setAlarm: (at: number) => Promise<void>
  #failureCount = 0

  /** @param setAlarm Lets the alarm come at these epoch milliseconds. */
  constructor(setAlarm: (at: number) => Promise<void>) {
    this.#setAlarm = setAlarm
  }

  /** @throws {Error} When the alarm cannot be set again: then only the platform's own retries are left. */
  async ring(work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
      this.#failureCount = 0
    } catch (error) {
      logFault('an alarm failed; it will come again', new Error(errorName(error)))
      await this.#setAlarm(Date.now() + recoveryDelayMs(this.#failureCount))
      this.#failureCount += 1
    }
  }
}
