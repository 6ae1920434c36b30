import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { within } from '../../test/support/eventually.ts';
import { run, start } from './process.ts';

const UP = 'echo up; exec sleep 600';
const root = process.getuid?.() === 0;

test('a file that is no program is EACCES', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'tulle-launch-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'text');
  writeFileSync(file, 'text', { mode: 0o600 });
  await assert.rejects(run(file, []), { name: 'SysError', code: 'EACCES', syscall: 'spawn' });
});

describe('in namespaces', { skip: root ? false : 'needs root' }, () => {
  test('the working directory is the one that is asked for, or the root', async () => {
    const namespaces = { mount: '/proc/self/ns/mnt' };
    assert.equal((await run('pwd', [], { namespaces, cwd: '/proc' })).stdout, '/proc\n');
    assert.equal((await run('pwd', [], { namespaces })).stdout, '/\n');
  });

  test('children that come later are in our own PID namespace again', async t => {
    const ours = readlinkSync('/proc/self/ns/pid');
    const outer = await start('unshare', ['--pid', '--fork', '--kill-child', 'sh', '-c', UP], {
      pipeOutput: true,
    });
    t.after(() => outer.kill('SIGKILL'));
    // Only now does the namespace exist.
    if (outer.stdout !== undefined) await within('something comes', once(outer.stdout, 'data'));
    const namespaces = { pid: `/proc/${outer.pid}/ns/pid_for_children` };
    const id = (await run('sh', ['-c', 'echo $$'], { namespaces })).stdout;
    assert.ok(Number(id) < 10, `its number there is ${id}`);
    assert.equal(readlinkSync('/proc/thread-self/ns/pid_for_children'), ours);
  });
});
