import assert from 'node:assert/strict';
import { test } from 'node:test';
import { untilAborted } from './abort.ts';

test('without an abort, the promise decides', async () => {
  const { signal } = new AbortController();
  assert.equal(await untilAborted(Promise.resolve(1), signal), 1);
  await assert.rejects(untilAborted(Promise.reject(new Error('no')), signal), { message: 'no' });
});

test('an abort ends the wait with its reason, before or during it', async () => {
  const never = new Promise<void>(() => undefined);
  const reason = new Error('enough');
  await assert.rejects(untilAborted(never, AbortSignal.abort(reason)), reason);
  const stop = new AbortController();
  const waiting = untilAborted(never, stop.signal);
  stop.abort(reason);
  await assert.rejects(waiting, reason);
});

test('a rejection after the abort is not left unhandled', async () => {
  const { promise, reject } = Promise.withResolvers<void>();
  const stop = new AbortController();
  const waiting = untilAborted(promise, stop.signal);
  stop.abort(new Error('enough'));
  await assert.rejects(waiting, { message: 'enough' });
  reject(new Error('too late'));
});
