import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { within } from '../../test/support/eventually.ts';

const LINES = 20_000;
/** Of a program, in milliseconds. */
const TIMEOUT = 30_000;

test('what is printed arrives whole, also when it is more than a pipe takes at once', () => {
  const program = `
    import { outputWritten, print } from ${JSON.stringify(import.meta.resolve('./output.ts'))};
    for (let line = 0; line < ${LINES}; line++) print('x'.repeat(99));
    await outputWritten();
    process.exit(0);
  `;
  const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    maxBuffer: 2 ** 26,
    timeout: TIMEOUT,
  });
  assert.equal(status, 0);
  assert.equal(stdout.byteLength, LINES * 100);
});

test('a table that is piped is as wide as COLUMNS says, and else as it is', () => {
  const main = new URL('../main.ts', import.meta.url).pathname;
  const widest = (columns: string) => {
    const { stdout } = spawnSync(process.execPath, [main, 'lab', 'run', '--list'], {
      env: { ...process.env, COLUMNS: columns },
      encoding: 'utf8',
      timeout: TIMEOUT,
    });
    return Math.max(...stdout.split('\n').map(line => line.length));
  };
  const whole = widest('');
  assert.ok(whole > 45);
  for (const nonsense of ['0', '-1', 'wide']) assert.equal(widest(nonsense), whole);
  assert.ok(widest('40') <= 40);
});

test('output that does not fit on the disk is a failure with a reason', t => {
  const full = openSync('/dev/full', 'w');
  t.after(() => closeSync(full));
  const main = new URL('../main.ts', import.meta.url).pathname;
  const { stderr, status } = spawnSync(process.execPath, [main, 'completion', 'bash'], {
    stdio: ['ignore', full, 'pipe'],
    encoding: 'utf8',
    timeout: TIMEOUT,
  });
  assert.match(stderr, /^tulle: error: the output could not be written: ENOSPC/);
  assert.equal(status, 1);
});

test('a reader that has seen enough is no failure', async () => {
  const program = `
    import { print } from ${JSON.stringify(import.meta.resolve('./output.ts'))};
    import { runProgram } from ${JSON.stringify(import.meta.resolve('./program.ts'))};
    await runProgram([], ['--version']);
    for (let line = 0; line < ${LINES}; line++) print('x'.repeat(99));
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program]);
  const said = child.stderr.setEncoding('utf8').toArray();
  await within('the first line', once(child.stdout, 'data'));
  child.stdout.destroy();
  assert.deepEqual(await within('the process ends', once(child, 'exit')), [0, null]);
  assert.equal((await said).join(''), '');
});

test('a command ends as it should when nobody reads its remarks', async () => {
  const main = new URL('../main.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [main, 'completion', 'no-such-shell'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  child.stderr.destroy();
  assert.deepEqual(await within('the process ends', once(child, 'exit')), [2, null]);
});
