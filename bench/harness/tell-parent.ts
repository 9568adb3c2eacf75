/** Tells the parent process where this one listens, and ends with it. */
export function tellParent(url: string): void {
  process.send?.(url)
  process.once('disconnect', () => process.exit())
}
