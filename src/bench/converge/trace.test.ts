import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Trace } from './trace.ts';

const never = new AbortController().signal;

test('a lease is through when it is committed and every host has taken the steps that are awaited of it', async () => {
  const trace = new Trace(
    new Map([
      ['a', ['announced']],
      ['b', ['applied', 'announced']],
    ]),
  );
  let isThrough = false;
  trace.sent('one');
  const through = trace.complete(never).then(() => {
    isThrough = true;
  });
  trace.reached('received', 'one', 'a');
  trace.reached('announced', 'one', 'a');
  trace.reached('announced', 'one', 'a');
  trace.reached('announced', 'one', 'stranger');
  trace.reached('announced', 'other', 'b');
  trace.committed('one');
  await Promise.resolve();
  assert.equal(isThrough, false);
  trace.reached('announced', 'one', 'b');
  await Promise.resolve();
  assert.equal(isThrough, false);
  trace.reached('applied', 'one', 'b');
  await through;
  assert.equal(trace.distribution('checked'), undefined);
  assert.ok((trace.distribution('committed')?.max ?? -1) >= 0);
  assert.equal(trace.distribution('applied', new Set(['a'])), undefined);
  const [everywhere, announced] = [trace.distribution('everywhere'), trace.distribution('announced')];
  assert.equal(everywhere?.max, announced?.max);
  assert.equal(everywhere?.p50, announced?.max);
});

test('waiting for a silent host ends with an abort', async () => {
  const trace = new Trace(new Map([['a', ['announced']]]));
  trace.sent('one');
  await assert.rejects(trace.complete(AbortSignal.abort(new Error('enough'))), /enough/);
  const stop = new AbortController();
  const waiting = trace.complete(stop.signal);
  stop.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
});

test('a lease that was not sent, or is committed twice, does not count', async () => {
  const trace = new Trace(new Map());
  trace.sent('one');
  trace.sent('two');
  trace.committed('other');
  trace.committed('one');
  trace.committed('one');
  await assert.rejects(trace.complete(AbortSignal.abort(new Error('two is missing'))), /two is missing/);
  trace.committed('two');
  await trace.complete(never);
});
