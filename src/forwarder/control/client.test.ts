import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { ForwarderClient } from './client.ts';
import type { Hello } from './messages.ts';

const HELLO: Hello = {
  hello: 'tulle forwarder',
  control: 1,
  version: '0',
  process: { pid: 1, started: 0 },
  device: 'tun0',
  listen: [],
  mtu: 1472,
};
/** A process of its own that answers at once, and makes a file when it has: `node -e PROGRAM PATH`. */
const PROGRAM = `
  const server = require('node:net').createServer(socket => {
    socket.write('${JSON.stringify(HELLO)}\\n');
    socket.on('data', line => {
      socket.write(JSON.stringify({ id: JSON.parse(line).id, ok: true }) + '\\n');
      require('node:fs').writeFileSync(process.argv[1] + '.answered', '');
    });
    socket.on('error', () => {});
  });
  server.listen(process.argv[1], () => console.log('ready'));`;

/** Milliseconds. */
const PATIENCE = 50;
const LONGEST_PAUSE = 45_000;

/** Nothing else of this process runs meanwhile. */
const pause = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2 * PATIENCE);

test('an answer that came while this process did not run is an answer', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'tt-control-'));
  const path = join(directory, 'control.sock');
  const server = spawn(process.execPath, ['-e', PROGRAM, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => {
    server.kill('SIGKILL');
    rmSync(directory, { recursive: true });
  });
  await once(server.stdout, 'data');
  using client = await ForwarderClient.connect(path);
  assert.deepEqual(client.hello, HELLO);

  const checked = client.check(PATIENCE);
  const began = performance.now();
  do pause();
  while (!existsSync(`${path}.answered`) && performance.now() - began < LONGEST_PAUSE);
  await checked;

  server.kill('SIGSTOP');
  await assert.rejects(client.check(PATIENCE), { code: 'FORWARDER_SILENT' });
});
