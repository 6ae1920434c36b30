import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { deadline, within } from '../../test/support/eventually.ts';
import { pipe } from './libc.ts';
import { identify, waitForEnd } from './pidfd.ts';
import { run, start } from './process.ts';
import { waitForFile } from './wait-file.ts';

describe('run', () => {
  test('hands arguments over untouched and returns what the program said', async () => {
    const odd = ['a b', '$HOME', '`x`', '', '\'"', '*'];
    const { status, stdout, stderr } = await run('printf', ['<%s>\n', ...odd]);
    assert.equal(stdout, odd.map(text => `<${text}>\n`).join(''));
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
  });

  test('feeds input, also to a program that does not read it', async () => {
    const input = 'x'.repeat(300_000);
    assert.equal((await run('cat', [], { input })).stdout, input);
    await run('true', [], { input });
  });

  test("a status other than 0 is an error with the program's own words, unless asked for", async () => {
    await assert.rejects(run('ls', ['/no/such/place']), { code: 'EXITED', message: /No such file/ });
    assert.equal((await run('false', [], { anyStatus: true })).status, 1);
  });

  test('a program that does not exist is ENOENT', async () => {
    await assert.rejects(run('no-such-program', []), { name: 'SysError', code: 'ENOENT', syscall: 'spawn' });
  });

  test('kills at the end of the time', async () => {
    await assert.rejects(run('sleep', ['600'], { timeout: 20 }), { code: 'TIMEOUT' });
  });

  test('kills what it has started as well', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'tt-process-'));
    try {
      const file = join(directory, 'pid');
      const script = `sleep 600 & echo $! > ${file}.new; mv ${file}.new ${file}; wait`;
      const stop = new AbortController();
      const ended = assert.rejects(run('sh', ['-c', script], { signal: stop.signal }), { message: 'enough' });
      const pid = Number(await waitForFile(file, deadline('it has begun')));
      const child = identify(pid) ?? assert.fail('it runs');
      stop.abort(new Error('enough'));
      await ended;
      assert.equal(await waitForEnd(child, deadline('it has ended')), true);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('an abort kills it and rejects with the reason', async () => {
    const reason = new Error('enough');
    const stop = new AbortController();
    const running = run('sleep', ['600'], { signal: stop.signal });
    stop.abort(reason);
    await assert.rejects(running, reason);
    await assert.rejects(run('true', [], { signal: stop.signal }), reason);
  });

  test('stops a program that says too much', async () => {
    await assert.rejects(run('yes', [], { maxOutput: 1000 }), { code: 'OUTPUT_LIMIT' });
  });
});

describe('start', () => {
  test('logs to a file and reports the end', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'tt-process-'));
    try {
      const logFile = join(directory, 'log');
      const child = await start('ls', ['/no/such/place'], { logFile });
      assert.deepEqual(await within('the process ends', child.exited), { status: 2 });
      assert.match(readFileSync(logFile, 'utf8'), /No such file/);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('a descriptor handed on stays open in the child', async () => {
    const lifeline = pipe();
    const reader = await start('cat', [], { stdin: lifeline.read });
    const holder = await start('sleep', ['600'], { inherit: [lifeline.write] });
    try {
      closeSync(lifeline.read);
      closeSync(lifeline.write);
      const id = identify(reader.pid);
      assert.ok(id, 'the reader runs on although we closed our end');
      assert.equal(await waitForEnd(id, AbortSignal.timeout(50)), false);
      holder.kill('SIGKILL');
      assert.deepEqual(await within('the process ends', reader.exited), { status: 0 });
    } finally {
      holder.kill('SIGKILL');
    }
  });
});

describe('attach', () => {
  test('hands on what asks only us to end, and returns how the program ended', async () => {
    const program = `
      import { attachTerminal } from ${JSON.stringify(import.meta.resolve('./process.ts'))};
      console.log(JSON.stringify(await attachTerminal('sh', ['-c', 'echo started; exec sleep 60'])));
    `;
    const ours = await start(process.execPath, ['--input-type=module', '-e', program], { pipeOutput: true });
    let said = '';
    for await (const chunk of ours.stdout ?? []) {
      said += String(chunk);
      if (said === 'started\n') ours.kill('SIGTERM');
    }
    assert.equal(said, 'started\n{"signal":"SIGTERM"}\n');
    assert.deepEqual(await within('the process ends', ours.exited), { status: 0 });
  });
});
