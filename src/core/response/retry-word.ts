/** What the client may do about a problem. */
export type RetryWord = 'same-key' | 'new-key' | 'wait' | 'never'

/** The same as a sentence, for people and agents. */
export const WHAT_TO_DO: Readonly<Record<RetryWord, string>> = {
  'same-key': 'Send the same request again with the same key.',
  'new-key': 'Do not send it again with this key. A new operation needs a new key.',
  wait: 'Wait, then send the same request again with the same key.',
  never: 'Do not send the same request again until you have fixed the cause.',
}
