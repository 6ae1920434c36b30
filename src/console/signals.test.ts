import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { within } from '../../test/support/eventually.ts';

const MODULE = JSON.stringify(join(import.meta.dirname, 'signals.ts'));

// G1: nobody sends a daemon a second signal.
test('a daemon that cannot stop in time ends all the same, and says so', { timeout: 60_000 }, async t => {
  const code = `
    import { untilStopped } from ${MODULE};
    setInterval(() => undefined, 1000);
    const stopping = untilStopped(() => new Promise(() => undefined), { within: 50 });
    console.log('running');
    await stopping;`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code]);
  t.after(() => child.kill('SIGKILL'));
  const said = child.stderr.setEncoding('utf8').toArray();
  await within('something comes', once(child.stdout, 'data'));
  child.kill('SIGTERM');
  assert.deepEqual(await within('the process ends', once(child, 'exit')), [143, null]);
  assert.match((await said).join(''), /not stopped within 0\.05 s after SIGTERM; the process exits/);
});
