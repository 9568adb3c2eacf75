import {
  DAYS_PER_MONTH,
  DYNAMODB,
  FIRST_LOOK_MS,
  IDLE_MS,
  type Item,
  LAST_LOOK_MS,
  OBJECT_GB,
  OBJECT_WORK_MS,
  PAGE_BYTES,
  PAGE_ROOM_BYTES,
  PER_KEY,
  RECORD_BYTES,
  SHARDED,
} from './figures.ts'

/** What is to be paid for. */
export interface Load {
  readonly operationsPerDay: number
  /** Repeats of an operation, which receive its result. */
  readonly replays: number
  readonly originMs: number
  /** Length of a stored response. */
  readonly bodyBytes: number
  readonly retentionMs: number
  readonly shards: number
  readonly leaseMs: number
  /** What happens to an unknown outcome. */
  readonly unknown: 'hold' | 'recover'
  /** CPU of the Worker for a request. */
  readonly cpuMs: number
}

/** How much of each item a month takes. */
export type Usage = Readonly<Partial<Record<Item, number>>>

/** Where operations are kept. */
export type CostPlacement = 'per-key' | 'sharded' | 'dynamodb'

/** The month's usage of each placement. */
export const USAGE_OF: Readonly<Record<CostPlacement, (load: Load) => Usage>> = {
  'per-key': perKeyUsage,
  sharded: shardedUsage,
  dynamodb: dynamoUsage,
}

const DAY_SECONDS = 86_400
const MONTH_SECONDS = DAYS_PER_MONTH * DAY_SECONDS
const GB = 1e9

function perKeyUsage(load: Load): Usage {
  const { originMs, unknown } = load
  const operations = operationsOf(load)
  const replays = operations * load.replays
  const looks = countLooks(originMs, unknown)
  // A call that takes long has an alarm to look after it, and another one for the end of retention.
  const isWatched = unknown === 'hold' && originMs > FIRST_LOOK_MS
  const alarms = PER_KEY.alarms[unknown] + looks + (isWatched ? 2 : 0)
  const activeMs = {
    // The call goes out when the claim is on disk.
    operation: originMs + 2 * OBJECT_WORK_MS.write + looks * OBJECT_WORK_MS.read,
    expiry: OBJECT_WORK_MS.write,
  }
  const activeSeconds =
    (operations * (activeMs.operation + activeMs.expiry) + replays * OBJECT_WORK_MS.read) / 1_000
  const { rowsRead } = PER_KEY
  const pages = Math.ceil((RECORD_BYTES + load.bodyBytes) / PAGE_BYTES)
  return {
    ...workerUsage(load),
    objectRequests: operations * (2 + looks) + replays,
    objectGbSeconds: activeSeconds * OBJECT_GB,
    rowsRead: operations * (rowsRead.operation + rowsRead.alarm) + replays * rowsRead.replay,
    rowsWritten: operations * (PER_KEY.rowsWritten + alarms),
    storedGb: stored(load, PER_KEY.emptyBytes + pages * PAGE_BYTES, 0),
  }
}

/** How often the alarm comes while a call runs: after 5 s or twice that, and then twice as late each time. */
function countLooks(originMs: number, unknown: Load['unknown']): number {
  let looks = 0
  let at = unknown === 'hold' ? 2 * FIRST_LOOK_MS : FIRST_LOOK_MS
  for (; at < originMs; at += Math.min(LAST_LOOK_MS, at)) looks += 1
  return looks
}

function shardedUsage(load: Load): Usage {
  const operations = operationsOf(load)
  const replays = operations * load.replays
  const renewals = operations * Math.floor(load.originMs / (load.leaseMs / 3))
  const alarms = shardAlarms(load)
  const { rowsRead } = SHARDED
  return {
    ...workerUsage(load),
    objectRequests: 2 * operations + replays + renewals + alarms.rings,
    objectGbSeconds: load.shards * busyShare(load) * MONTH_SECONDS * OBJECT_GB,
    rowsRead: operations * rowsRead.operation + replays * rowsRead.replay,
    // A renewal writes the record.
    rowsWritten: operations * SHARDED.rowsWritten + renewals + alarms.sets,
    storedGb: stored(load, shardedBytes(load.bodyBytes), SHARDED.lateness),
  }
}

/** Alarms of all shards in a month: how many come, and how many are set. */
function shardAlarms({ operationsPerDay, shards, leaseMs, originMs }: Load) {
  const perSecond = operationsPerDay / DAY_SECONDS / shards
  // Nothing is in progress when an alarm comes: the next one is set by the next claim.
  const idle = Math.exp((-perSecond * originMs) / 1_000)
  const ringsPerSecond = 1 / (leaseMs / 1_000 + idle / perSecond)
  // A claim sets it again after a pause in which the object was unloaded.
  const afterPause = perSecond * Math.exp((-perSecond * IDLE_MS) / 1_000)
  const setsPerSecond = ringsPerSecond + Math.max(idle * ringsPerSecond, afterPause)
  const all = shards * MONTH_SECONDS
  return { rings: ringsPerSecond * all, sets: setsPerSecond * all }
}

/** The part of the time in which a shard works for at least one request: concurrent ones share it. */
function busyShare({ operationsPerDay, replays, shards }: Load): number {
  const workMs = 2 * OBJECT_WORK_MS.write + replays * OBJECT_WORK_MS.read
  const load = (operationsPerDay / DAY_SECONDS / shards) * (workMs / 1_000)
  return 1 - Math.exp(-load)
}

/** How much a row takes in a table of rows like it. */
function shardedBytes(bodyBytes: number): number {
  const rowBytes = RECORD_BYTES + bodyBytes
  const perPage = Math.floor(PAGE_ROOM_BYTES / rowBytes)
  return perPage >= 2
    ? PAGE_BYTES / (perPage * SHARDED.pageFill)
    : PAGE_BYTES * Math.ceil(rowBytes / PAGE_ROOM_BYTES)
}

function dynamoUsage(load: Load): Usage {
  const operations = operationsOf(load)
  const replays = operations * load.replays
  const { itemBytes, overheadBytes, writeUnitBytes, waitMs, lambdaGb } = DYNAMODB
  const bytes = itemBytes + load.bodyBytes
  const units = Math.ceil(bytes / writeUnitBytes)
  const activeMs = operations * (load.originMs + 2 * waitMs) + replays * waitMs
  return {
    lambdaRequests: operations + replays,
    lambdaGbSeconds: (activeMs / 1_000) * lambdaGb,
    dynamoWrites: operations * (1 + units) + replays * units,
    dynamoGb: stored(load, bytes + overheadBytes, 0),
  }
}

function workerUsage(load: Load): Usage {
  const requests = operationsOf(load) * (1 + load.replays)
  return { plan: 1, workerRequests: requests, workerCpuMs: requests * load.cpuMs }
}

const operationsOf = ({ operationsPerDay }: Load) => operationsPerDay * DAYS_PER_MONTH

/** GB that are stored at any time. @param lateness How much longer than retention, relative to it. */
function stored(load: Load, bytes: number, lateness: number): number {
  const days = (load.retentionMs / 1_000 / DAY_SECONDS) * (1 + lateness)
  return (load.operationsPerDay * days * bytes) / GB
}
