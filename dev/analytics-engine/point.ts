import * as z from 'zod'

const MAX_COLUMNS = 20
const MAX_INDEX_BYTES = 96
const MAX_BLOB_BYTES = 16_384

const bytesOf = (text: string) => Buffer.byteLength(text)

const PointSchema = z.object({
  indexes: z
    .array(
      z.string().refine((index) => bytesOf(index) <= MAX_INDEX_BYTES, {
        error: `an index has at most ${MAX_INDEX_BYTES} bytes`,
      }),
    )
    .max(1),
  blobs: z
    .array(z.string())
    .max(MAX_COLUMNS)
    .refine((blobs) => bytesOf(blobs.join('')) <= MAX_BLOB_BYTES, {
      error: `the blobs of a point have at most ${MAX_BLOB_BYTES} bytes together`,
    }),
  doubles: z.array(z.number()).max(MAX_COLUMNS),
  /** Epoch milliseconds. Default: now. */
  timestamp: z.number().int().nonnegative().optional(),
  /** How many points this one stands for. Default: 1. */
  sampleInterval: z.number().int().positive().optional(),
})

/** A data point as `writeDataPoint` takes it, with the fields that the platform adds. */
export type Point = z.infer<typeof PointSchema>

export const PointsSchema = z.array(PointSchema)

/** The columns of every table, in the order of ClickHouse's `CREATE TABLE`. */
export const COLUMNS = [
  'dataset String',
  'timestamp DateTime',
  '_sample_interval UInt32',
  'index1 String',
  ...numbered('blob', 'String'),
  ...numbered('double', 'Float64'),
] as const

/** Lays a point out as a row. @param now Epoch milliseconds. */
export function toRow(dataset: string, point: Point, now: number) {
  return {
    dataset,
    timestamp: Math.floor((point.timestamp ?? now) / 1_000),
    _sample_interval: point.sampleInterval ?? 1,
    index1: point.indexes[0] ?? '',
    ...fill('blob', point.blobs),
    ...fill('double', point.doubles),
  }
}

function numbered(name: string, type: string): string[] {
  return Array.from({ length: MAX_COLUMNS }, (_, index) => `${name}${index + 1} ${type}`)
}

function fill<T>(name: string, values: readonly T[]): Record<string, T> {
  return Object.fromEntries(values.map((value, index) => [`${name}${index + 1}`, value]))
}
