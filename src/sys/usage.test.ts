import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { forgetPeak, usageOf } from './usage.ts';

test('reports of this process what Node reports', () => {
  const { cpu, resident, anonymous, peak } = usageOf(process.pid);
  const { user, system } = process.cpuUsage();
  // The kernel samples the two sides differently, and Node's count includes threads that have ended.
  assert.ok(cpu > 0 && cpu <= (user + system) / 1000 + 100, `${cpu} ms of ${(user + system) / 1000}`);
  assert.ok(anonymous > 0 && anonymous < resident && resident <= peak);
  assert.ok(Math.abs(resident - process.memoryUsage.rss()) < resident / 2);
});

test('forgets a peak that is over', () => {
  let much: Buffer | undefined = Buffer.alloc(100_000_000, 1);
  const before = usageOf(process.pid).peak;
  assert.equal(much[99_999_999], 1);
  much = undefined;
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  forgetPeak(process.pid);
  const { peak, resident } = usageOf(process.pid);
  assert.ok(peak < before - 50_000_000 && peak >= resident, `${before} before, ${peak} now`);
});

test('cannot report on a process that does not exist', () => {
  assert.throws(() => usageOf(2 ** 22 + 1), { code: 'ENOENT' });
});
