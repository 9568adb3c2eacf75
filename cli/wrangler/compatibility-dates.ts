/** From this compatibility date on, `nodejs_compat` has all of `node:buffer`, `node:crypto` and `node:zlib`. */
export const OLDEST_DATE = '2024-09-23'

/** From this compatibility date on, `nodejs_compat` is on by default. */
export const NODEJS_DATE = '2026-08-04'

/** From this compatibility date on, all pending work keeps an object in memory, such as calls of services. */
export const PENDING_WORK_DATE = '2026-10-01'
