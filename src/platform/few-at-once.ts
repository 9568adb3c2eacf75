/** Works on items in their order, a few at a time. Rejects if the work on one of them fails. */
export async function fewAtOnce<item>(
  items: IteratorObject<item>,
  atOnce: number,
  work: (item: item) => Promise<void>,
): Promise<void> {
  const takeTurns = async () => {
    // oxlint-disable-next-line no-await-in-loop -- each of those at once takes one after the other
    for (const item of items) await work(item)
  }
  await Promise.all(Array.from({ length: atOnce }, takeTurns))
}
