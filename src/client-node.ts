/** What the client needs a file system for, in Node.js, Deno and Bun. */
export { fileStore } from './client/file-store.ts'
export type { KeyStore } from './client/key-store.ts'
