/**
 * Keeps texts, each under a name, until they are forgotten. A text contains a key, and is short. Make
 * your own store of anything that several processes can share.
 */
export interface KeyStore {
  /**
   * Keeps a text, unless there is one under this name. Of several calls at the same time, all return
   * the same text.
   *
   * @returns The text that is kept now.
   */
  readonly keep: (name: string, text: string) => string | Promise<string>
  /** Forgets the text under a name, if it is this one. */
  readonly forget: (name: string, text: string) => void | Promise<void>
}

/** What a store needs of a `Storage`. */
export interface StorageLike {
  readonly getItem: (name: string) => string | null
  readonly setItem: (name: string, text: string) => unknown
  readonly removeItem: (name: string) => unknown
}

/**
 * Creates a store that lasts in a browser, and is shared by the tabs of its web origin.
 *
 * @param prefix Begins each name. Put the user into it, if several users share a browser.
 * @param storage Default: `localStorage`.
 */
export function localStorageStore(
  prefix = 'hapax:',
  storage: StorageLike = (globalThis as unknown as { localStorage: StorageLike }).localStorage,
): KeyStore {
  return {
    // Nothing happens between reading and writing.
    keep(name, text) {
      const kept = storage.getItem(prefix + name)
      if (kept === null) storage.setItem(prefix + name, text)
      return kept ?? text
    },
    forget(name, text) {
      if (storage.getItem(prefix + name) === text) storage.removeItem(prefix + name)
    },
  }
}

/** Creates a store that lasts as long as this process. */
export function memoryStore(): KeyStore {
  const texts = new Map<string, string>()
  return localStorageStore('', {
    getItem: (name) => texts.get(name) ?? null,
    setItem: (name, text) => texts.set(name, text),
    removeItem: (name) => texts.delete(name),
  })
}
