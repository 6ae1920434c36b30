import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, readlinkSync } from 'node:fs';
import { describe, test } from 'node:test';
import { deadline, within } from '../../test/support/eventually.ts';
import { spawnInPidNamespace } from './pid-namespace.ts';
import { endProcess, identify, isAlive, waitForEnd } from './pidfd.ts';
import { start } from './process.ts';

const root = process.getuid?.() === 0;

describe('a program in a PID namespace', { skip: root ? false : 'needs root' }, () => {
  test('is found by its identity, is a child of PID 1 there, and ends with it', async () => {
    const init = ['env', '--ignore-signal=CHLD', 'sh', '-c', 'echo up; exec sleep 600'];
    const outer = await start('unshare', ['--pid', '--fork', '--kill-child', ...init], { pipeOutput: true });
    try {
      // Only now does the namespace exist.
      if (outer.stdout !== undefined) await within('something comes', once(outer.stdout, 'data'));
      const pid = `/proc/${outer.pid}/ns/pid_for_children`;
      const namespaces = { pid };
      // Several at once must not be taken for each other.
      const ids = await Promise.all(
        ['601', '602', '603'].map(async length => {
          const id = await spawnInPidNamespace('sleep', [length], { namespaces });
          return [length, id] as const;
        }),
      );
      for (const [length, id] of ids) {
        const words = readFileSync(`/proc/${id.pid}/cmdline`, 'utf8').split('\0');
        // Those of setsid are in front of them until it has executed the program.
        assert.deepEqual(words.slice(-3), ['sleep', length, '']);
        assert.equal(readlinkSync(`/proc/${id.pid}/ns/pid`), readlinkSync(pid));
        const parent = Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${id.pid}/status`, 'utf8'))?.[1]);
        assert.equal(
          Number(/^NSpid:.*\t(\d+)$/m.exec(readFileSync(`/proc/${parent}/status`, 'utf8'))?.[1]),
          1,
        );
      }
      const spoken = await spawnInPidNamespace('sh', ['-c', 'echo up; exec sleep 604'], {
        namespaces,
        awaitOutput: true,
      });
      assert.ok(isAlive(spoken));

      const launcher = identify(outer.pid);
      assert.ok(launcher);
      await endProcess(launcher, 0);
      for (const [, id] of ids) assert.equal(await waitForEnd(id, deadline('all have ended')), true);
    } finally {
      outer.kill('SIGKILL');
    }
  });
});
