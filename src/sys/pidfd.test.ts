import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { within } from '../../test/support/eventually.ts';
import { endProcess, identify, isAlive, waitForEnd } from './pidfd.ts';
import { start } from './process.ts';

const STUBBORN =
  'process.on("SIGTERM", () => undefined); setInterval(() => undefined, 1e6); console.log("up");';

describe('processes by identity', () => {
  test('SIGTERM is enough for a program that obeys', async () => {
    const child = await start('sleep', ['600'], {});
    const id = identify(child.pid);
    assert.ok(id);
    await endProcess(id);
    assert.deepEqual(await within('the process ends', child.exited), { signal: 'SIGTERM' });
    assert.equal(isAlive(id), false);
    await endProcess(id);
  });

  test('SIGKILL follows for one that does not', async () => {
    const child = await start(process.execPath, ['-e', STUBBORN], { pipeOutput: true });
    assert.ok(child.stdout);
    await within('something comes', once(child.stdout, 'data'));
    const id = identify(child.pid);
    assert.ok(id);
    await endProcess(id, 50);
    assert.equal(isAlive(id), false);
    assert.deepEqual(await within('the process ends', child.exited), { signal: 'SIGKILL' });
  });

  test('a number that now names another process is left alone', async () => {
    const child = await start('sleep', ['600'], {});
    try {
      const former = { pid: child.pid, started: 1 };
      assert.equal(isAlive(former), false);
      await endProcess(former);
      assert.equal(await waitForEnd(former), true);
      assert.ok(identify(child.pid), 'it was not ended');
    } finally {
      child.kill('SIGKILL');
    }
  });

  test('waiting ends early when it is aborted', async () => {
    const child = await start('sleep', ['600'], {});
    try {
      const id = identify(child.pid);
      assert.ok(id);
      assert.equal(await waitForEnd(id, AbortSignal.timeout(10)), false);
      assert.equal(await waitForEnd(id, AbortSignal.abort()), false);
    } finally {
      child.kill('SIGKILL');
    }
  });

  test('there is no process with a number beyond all limits', () => {
    assert.equal(identify(2 ** 22 + 1), undefined);
  });
});
