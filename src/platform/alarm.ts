import { errorName } from '../core/error-name.ts'
import { recoveryDelayMs } from '../core/recovery.ts'
import { logFault } from '../metrics/log.ts'

/**
 * An alarm that does not fail. The platform abandons one that has thrown six times in a row, and
 * with it everything that was to be done in time; so what fails is logged, and the alarm comes again
 * after a pause: 5 s at first, doubling to 5 minutes.
 */
export class Alarm {
  readonly #setAlarm: (at: number) => Promise<void>
  #failureCount = 0

  /** @param setAlarm Lets the alarm come at these epoch milliseconds, whatever is due. */
  constructor(setAlarm: (at: number) => Promise<void>) {
    this.#setAlarm = setAlarm
  }

  /** @throws {Error} Where the alarm cannot be set again: the platform's own retries are what is left. */
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
