import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { test } from 'node:test';
import { deadline } from '../../test/support/eventually.ts';
import { holdingSignals } from './signal-mask.ts';

/** Of this thread: SigBlk of proc_pid_status(5), a bit for each signal from 1 on. */
const blocked = () =>
  BigInt(`0x${/^SigBlk:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/thread-self/status', 'utf8'))?.[1]}`);

const SIGINT = 1n << 1n;
const SIGKILL = 1n << 8n;
const SIGPROF = 1n << 26n;

test('signals wait while the call runs, and no longer', () => {
  const before = blocked();
  assert.equal(before & (SIGINT | SIGPROF), 0n);
  const inside = holdingSignals(blocked);
  assert.equal(inside & (SIGINT | SIGPROF | SIGKILL), SIGINT | SIGPROF, 'nothing holds SIGKILL back');
  assert.equal(blocked(), before);
  assert.throws(
    () =>
      holdingSignals(() => {
        throw new Error('inside');
      }),
    /inside/,
  );
  assert.equal(blocked(), before);
});

test('what came meanwhile is handled', async () => {
  const come = once(process, 'SIGHUP', { signal: deadline('the signal is handled') });
  holdingSignals(() => process.kill(process.pid, 'SIGHUP'));
  await come;
});
