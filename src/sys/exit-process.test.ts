import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';

// G1: a thread that never ends keeps process.exit() waiting forever.
test('a process ends with its status although a thread of it never ends', t => {
  const directory = mkdtempSync(join(tmpdir(), 'tt-end-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const fifo = join(directory, 'fifo');
  execFileSync('mkfifo', [fifo]);
  // Opened twice by nobody: one thread of libuv's pool waits in open(2). The second call starts after the first.
  const code = `
    import { open, stat } from 'node:fs/promises';
    import { exitProcess } from ${JSON.stringify(join(import.meta.dirname, 'exit-process.ts'))};
    open(${JSON.stringify(fifo)}).catch(() => undefined);
    await stat('/');
    exitProcess(3);`;
  const ended = spawnSync(process.execPath, ['--input-type=module', '--eval', code], {
    timeout: 60_000,
    killSignal: 'SIGKILL',
    encoding: 'utf8',
  });
  assert.deepEqual([ended.status, ended.signal, ended.stderr], [3, null, '']);
});

// A shell that reads its script from a pipe goes on reading where the program has stopped.
test('a process leaves the pipes of its standard streams as it found them', () => {
  const code = `
    import process from 'node:process';
    import { exitProcess } from ${JSON.stringify(join(import.meta.dirname, 'exit-process.ts'))};
    process.stdout.write('.');
    exitProcess(0);`;
  // A shell keeps both pipes open; sed inherits them and looks before and after.
  const flags = (fd: number) => `sed -n 's/^flags:[^0-9]*//p' /proc/self/fdinfo/${fd} >&2`;
  const script = `${flags(0)}; ${flags(1)}; "$0" --input-type=module --eval "$1"; ${flags(0)}; ${flags(1)}`;
  const { status, stderr } = spawnSync(
    'sh',
    ['-c', `: | { cat | { ${script}; } | cat; }`, process.execPath, code],
    {
      timeout: 60_000,
      killSignal: 'SIGKILL',
      encoding: 'utf8',
    },
  );
  const [stdin, stdout, ...after] = stderr.trim().split('\n');
  assert.equal(status, 0);
  assert.deepEqual(after, [stdin, stdout]);
});
