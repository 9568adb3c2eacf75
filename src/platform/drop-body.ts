import type { Answer } from '../core/operation/answer.ts'

/** Drops the body of an answer that nobody receives. It is still recorded, or read to its end. */
export function dropBody(answer: { readonly kind: string } | Answer): void {
  if (!('response' in answer) || !(answer.response.body instanceof ReadableStream)) return
  answer.response.body.cancel().catch(() => {})
}
