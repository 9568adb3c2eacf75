/** Characters of base64url, by their value (RFC 4648 §5). */
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** Reads some characters of an operation's id, which is a digest in base64url, as a number of 6 bits each. */
export function idNumber(characters: string): number {
  let number = 0
  for (const character of characters) {
    number = number * ALPHABET.length + Math.max(0, ALPHABET.indexOf(character))
  }
  return number
}
