import type { Policy } from '../config/policy.ts'
import { type Batch, readBatch } from '../core/batch.ts'
import type { SourceIn } from '../core/key-source.ts'
import { notPlainJson } from '../core/problem-details.ts'
import type { Problem } from '../core/problem.ts'
import { err, type Result } from '../core/result.ts'
import { isPlainJson } from './find-key.ts'
import type { Payload } from './payload.ts'

/** Reads the items of a request, and finds what is wrong with any of them. */
export async function readItems(
  payload: Payload,
  policy: Policy,
  source: SourceIn<'batch'>,
): Promise<Result<Batch, Problem>> {
  const read = await payload.read()
  if (!read.ok) return read
  if (!isPlainJson(read.value)) return err(notPlainJson('A batch'))
  return readBatch(new TextDecoder().decode(read.value.bytes), source, policy)
}
