import assert from 'node:assert/strict';
import { getEventListeners, once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { outOfPatience, together, untilAborted } from './abort.ts';

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

test('patience that is over while this process is stopped takes an answer that came meanwhile', async t => {
  const server = createServer().listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as { readonly port: number };
  const client = connect(port, '127.0.0.1');
  t.after(() => client.destroy());
  const [served] = (await once(server, 'connection')) as [Socket];
  t.after(() => served.destroy());
  const answer = once(client, 'data');
  const late = outOfPatience(20);
  served.write('x');
  // The kernel has it now, and this process does nothing.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  await untilAborted(answer, late);
  await assert.rejects(untilAborted(new Promise<void>(() => undefined), late), { name: 'TimeoutError' });
});

test('parts end together: the first failure aborts the others, and is what is thrown', async () => {
  const { signal } = new AbortController();
  const ended: string[] = [];
  const waits = (name: string) => async (until: AbortSignal) => {
    await untilAborted(new Promise<never>(() => undefined), until).catch(() => undefined);
    ended.push(name);
  };
  const fails = async () => {
    await Promise.resolve();
    throw new Error('first');
  };
  await assert.rejects(together(signal, waits('a'), fails, waits('b')), { message: 'first' });
  assert.deepEqual(ended, ['a', 'b']);
});

test('parts that all end well, or end because they were asked to, are no failure', async () => {
  const stop = new AbortController();
  await together(stop.signal, async () => 1);
  const waiting = together(stop.signal, until =>
    untilAborted(new Promise<void>(() => undefined), until).catch(() => undefined),
  );
  stop.abort();
  await waiting;
});

test('a wait that is over leaves nothing at its signal', async () => {
  const { signal } = new AbortController();
  await untilAborted(Promise.resolve(), signal);
  await untilAborted(Promise.reject(new Error('no')), signal).catch(() => undefined);
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});
