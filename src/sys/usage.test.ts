import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { eventually } from '../../test/support/eventually.ts';
import { forgetPeak, usageOf } from './usage.ts';

test('reports of this process what Node reports', () => {
  const { cpu, resident, anonymous, peak } = usageOf(process.pid);
  const { user, system } = process.cpuUsage();
  // The kernel samples the two sides differently, and Node's count includes threads that have ended.
  assert.ok(cpu > 0 && cpu <= (user + system) / 1000 + 100, `${cpu} ms of ${(user + system) / 1000}`);
  assert.ok(anonymous > 0 && anonymous < resident && resident <= peak);
  assert.ok(Math.abs(resident - process.memoryUsage.rss()) < resident / 2);
});

test('forgets a peak that is over', async () => {
  let much: Buffer | undefined = Buffer.alloc(100_000_000, 1);
  const before = usageOf(process.pid).peak;
  assert.equal(much[99_999_999], 1);
  much = undefined;
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // The memory goes back to the kernel on a thread of V8's own.
  await eventually('the memory is given back', async () => {
    collect();
    return usageOf(process.pid).resident < before - 60_000_000;
  });
  forgetPeak(process.pid);
  const { peak, resident } = usageOf(process.pid);
  assert.ok(peak < before - 50_000_000 && peak >= resident, `${before} before, ${peak} now`);
});

test('cannot report on a process that does not exist', () => {
  assert.throws(() => usageOf(2 ** 22 + 1), { code: 'ENOENT' });
});
