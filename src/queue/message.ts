/** A message as a queue delivers it. */
export interface ReceivedMessage {
  /** The platform's id, which is the same in every delivery of the message. */
  readonly id: string
  readonly queue: string
  // oxlint-disable-next-line typescript/no-explicit-any -- what a queue carries is for the deployer to say
  readonly body: any
  /** Deliveries so far, including this one. */
  readonly attempts: number
  readonly timestamp: Date
}

/** The content of a message. */
interface BodyContent {
  readonly content: unknown
  /** The text, if the message is a JSON object or list sent as text or UTF-8 bytes; else `null`. */
  readonly text: string | null
}

/** Reads the body of a message, and parses text or bytes that are JSON. */
export function readBody(body: unknown): BodyContent {
  const unread = { content: body, text: null }
  const isBytes = body instanceof ArrayBuffer || ArrayBuffer.isView(body)
  if (typeof body !== 'string' && !isBytes) return unread
  try {
    const text = isBytes
      ? new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)
      : body
    return /^\s*[[{]/.test(text) ? { content: JSON.parse(text) as unknown, text } : unread
  } catch {
    return unread
  }
}

/** The body of a message, parsed if it is JSON. */
export function contentOf(body: unknown): unknown {
  return readBody(body).content
}

/** An attribute of a JSON message, even if it was sent as text. */
export function attributeOf({ body }: ReceivedMessage, name: string): unknown {
  return memberOf(contentOf(body), name)
}

/** Whether a message is a CloudEvent in structured mode. */
export function isCloudEvent(body: unknown): boolean {
  return typeof memberOf(body, 'specversion') === 'string'
}

/** An own member of a JSON value, or `undefined`. */
export function memberOf(body: unknown, name: string): unknown {
  const isObject = typeof body === 'object' && body !== null && Object.hasOwn(body, name)
  return isObject ? (body as Record<string, unknown>)[name] : undefined
}
