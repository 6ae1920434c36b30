import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Watchable } from './watchable.ts';

test('a reader gets the value now, then only the newest of those it missed', async () => {
  const latest = new Watchable(0);
  const stop = new AbortController();
  const seen: number[] = [];
  for await (const value of latest.changes(stop.signal)) {
    seen.push(value);
    if (value === 0) for (const next of [1, 2, 3]) latest.set(next);
    else if (value === 3) queueMicrotask(() => latest.set(4));
    else stop.abort();
  }
  assert.deepEqual(seen, [0, 3, 4]);
});

test('every reader gets the change', async () => {
  const latest = new Watchable('a');
  const { signal } = new AbortController();
  const readers = [1, 2, 3].map(() => latest.until(value => value === 'c', signal));
  latest.set('b');
  await Promise.resolve();
  latest.set('c');
  assert.deepEqual(await Promise.all(readers), ['c', 'c', 'c']);
});

test('until rejects with the reason of an abort', async () => {
  const stop = new AbortController();
  const waiting = new Watchable(0).until(value => value === 1, stop.signal);
  const reason = new Error('enough');
  stop.abort(reason);
  await assert.rejects(waiting, reason);
});
