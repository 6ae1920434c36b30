import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordingLogger } from '../../base/log.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { Generation } from './generation.ts';

test('generations that cannot begin are reported once, and the next one that can begins', async t => {
  const [clock, log, stop] = [new ManualClock(), recordingLogger(), new AbortController()];
  let [tries, isRefused] = [0, true];
  const generation = new Generation(() => {
    tries++;
    if (isRefused) throw new Error('EPERM');
  }, log);
  const running = generation.run(clock, stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
  });
  const change = async () => {
    generation.changed();
    await clock.advance(100);
  };
  await clock.advance(0);
  await change();
  await change();
  assert.deepEqual([tries, log.records.map(({ fields }) => fields)], [2, [{ error: 'EPERM' }]]);
  isRefused = false;
  await change();
  isRefused = true;
  await change();
  const levels = log.records.map(({ level }) => level);
  assert.deepEqual([tries, levels], [4, ['warn', 'info', 'warn']]);
});
