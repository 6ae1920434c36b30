/** Taking what comes, one by one. */

/**
 * Calls `take` with each item until there are no more. Unlike a `for await` it holds no item while it waits for the
 * next one, which may take weeks: a function that waits keeps what its variables held.
 */
export async function forEach<T>(items: AsyncIterable<T>, take: (item: T) => void): Promise<void> {
  const iterator = items[Symbol.asyncIterator]();
  try {
    let more = true;
    while (more) more = await takeNext(iterator, take);
  } finally {
    await iterator.return?.();
  }
}

async function takeNext<T>(iterator: AsyncIterator<T>, take: (item: T) => void): Promise<boolean> {
  const next = await iterator.next();
  if (next.done === true) return false;
  take(next.value);
  return true;
}
