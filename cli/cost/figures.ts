/**
 * The figures that a bill is made of: public prices, what was counted or measured, and what is assumed.
 * Each says where it comes from.
 */

const CLOUDFLARE_WORKERS = 'https://developers.cloudflare.com/workers/platform/pricing/'
const CLOUDFLARE_OBJECTS = 'https://developers.cloudflare.com/durable-objects/platform/pricing/'
const AWS_DYNAMODB = 'https://aws.amazon.com/dynamodb/pricing/on-demand/'
const AWS_LAMBDA = 'https://aws.amazon.com/lambda/pricing/'

/** A price in US dollars. */
export interface Price {
  readonly name: string
  readonly usd: number
  /** For so many units. */
  readonly per: number
  /** So many units a month cost nothing. */
  readonly included: number
  readonly source: string
}

const MILLION = 1e6

/** Workers Paid, and DynamoDB and Lambda in us-east-1, as published in November 2026. */
export const PRICES = {
  plan: { name: 'Workers Paid plan', usd: 5, per: 1, included: 0, source: CLOUDFLARE_WORKERS },
  workerRequests: {
    name: 'Worker requests',
    usd: 0.3,
    per: MILLION,
    included: 10 * MILLION,
    source: CLOUDFLARE_WORKERS,
  },
  workerCpuMs: {
    name: 'Worker CPU ms',
    usd: 0.02,
    per: MILLION,
    included: 30 * MILLION,
    source: CLOUDFLARE_WORKERS,
  },
  objectRequests: {
    name: 'Object requests',
    usd: 0.15,
    per: MILLION,
    included: MILLION,
    source: CLOUDFLARE_OBJECTS,
  },
  objectGbSeconds: {
    name: 'Object duration, GB-s',
    usd: 12.5,
    per: MILLION,
    included: 400_000,
    source: CLOUDFLARE_OBJECTS,
  },
  rowsRead: {
    name: 'Rows read',
    usd: 0.001,
    per: MILLION,
    included: 25_000 * MILLION,
    source: CLOUDFLARE_OBJECTS,
  },
  rowsWritten: {
    name: 'Rows written, alarms set',
    usd: 1,
    per: MILLION,
    included: 50 * MILLION,
    source: CLOUDFLARE_OBJECTS,
  },
  storedGb: { name: 'Stored, GB', usd: 0.2, per: 1, included: 5, source: CLOUDFLARE_OBJECTS },
  lambdaRequests: {
    name: 'Lambda requests',
    usd: 0.2,
    per: MILLION,
    included: MILLION,
    source: AWS_LAMBDA,
  },
  lambdaGbSeconds: {
    name: 'Lambda duration, GB-s',
    usd: 13.3334,
    per: MILLION,
    included: 400_000,
    source: AWS_LAMBDA,
  },
  dynamoWrites: {
    name: 'DynamoDB write units',
    usd: 0.625,
    per: MILLION,
    included: 0,
    source: AWS_DYNAMODB,
  },
  dynamoGb: { name: 'DynamoDB stored, GB', usd: 0.25, per: 1, included: 25, source: AWS_DYNAMODB },
} as const satisfies Readonly<Record<string, Price>>

/** Something that is billed. */
export type Item = keyof typeof PRICES

/** The memory that an object is billed for, in GB. */
export const OBJECT_GB = 0.128

/** One object per key: counted at the storage API by `npm run bench -- --only counts`. */
export const PER_KEY = {
  /** The table of the object, a claim and a settle. Giving the storage back counts nothing. */
  rowsWritten: 2 + 1 + 1,
  /** Alarms that are set if the route holds, and if the alarm recovers operations of the route. */
  alarms: { hold: 1, recover: 2 },
  /** A replay and the alarm find the object out of memory. */
  rowsRead: { operation: 2, replay: 3, alarm: 3 },
  /** A database with one table and no row, and a page of SQLite. */
  emptyBytes: 12_288,
} as const

/** Sharded: counted as above, and checked by `test/workerd/shard-store.test.ts`. */
export const SHARDED = {
  /** A claim and a settle. A bucket is dropped whole, which counts nothing. */
  rowsWritten: 2,
  rowsRead: { operation: 5, replay: 2 },
  /** Operations whose rows are in the same page fill it to this part. */
  pageFill: 0.886,
  /** How much longer than its retention a row is stored on average: half a bucket. */
  lateness: 0.094,
} as const

/** What an object can store. https://developers.cloudflare.com/durable-objects/platform/limits/ */
export const MAX_OBJECT_GB = 10

/** A page of SQLite, and what it can hold. */
export const PAGE_BYTES = 4_096
export const PAGE_ROOM_BYTES = 4_084

/** A record without its body: measured on the fixtures of `test/fixtures`. */
export const RECORD_BYTES = 1_450

/** Assumed: how long an object works for a request that writes, and for one that only reads. */
export const OBJECT_WORK_MS = { write: 10, read: 2 } as const

/** When an object of its own looks after its call, in milliseconds from the claim: then twice as late. */
export const FIRST_LOOK_MS = 5_000
/** The longest time between two looks. */
export const LAST_LOOK_MS = 300_000

/** An object that has been idle for so long forgets which alarm it has set. */
export const IDLE_MS = 10_000

/**
 * DynamoDB with Powertools: a conditional put and an update of each operation, and a put of each replay
 * that fails, which is billed by the size of the item.
 * https://docs.aws.amazon.com/powertools/typescript/latest/features/idempotency/
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithItems.html
 */
export const DYNAMODB = {
  writeUnitBytes: 1_024,
  /** Key, status, expiry and hash of an item; and what DynamoDB adds to each item that it stores. */
  itemBytes: 250,
  overheadBytes: 100,
  /** Assumed: how long the function waits for DynamoDB each time. */
  waitMs: 5,
  /** The smallest function. */
  lambdaGb: 0.125,
} as const

/** A month of a bill. */
export const DAYS_PER_MONTH = 30
