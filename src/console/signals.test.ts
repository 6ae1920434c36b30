import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { within } from '../../test/support/eventually.ts';

const MODULE = JSON.stringify(join(import.meta.dirname, 'signals.ts'));

/** Runs a program that says `running` once it has called `untilStopped`, and resolves then. */
async function started(t: TestContext, code: string) {
  const program = `import { untilStopped } from ${MODULE};\nconst alive = setInterval(() => undefined, 1000);\n${code}`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program]);
  t.after(() => child.kill('SIGKILL'));
  const said = child.stderr.setEncoding('utf8').toArray();
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const line = async (expected: string) =>
    assert.equal((await within(expected, lines.next())).value, expected);
  await line('running');
  const end = () => within('the process ends', once(child, 'exit'));
  return { child, said, line, end };
}

const NEVER = 'new Promise(() => undefined)';

// G1: nobody sends a daemon a second signal.
test('a daemon that cannot stop in time ends all the same, and says so', async t => {
  const { child, said, end } = await started(
    t,
    `const stopping = untilStopped(() => ${NEVER}, { within: 50 });
    console.log('running');
    await stopping;`,
  );
  child.kill('SIGTERM');
  assert.deepEqual(await end(), [143, null]);
  assert.match((await said).join(''), /not stopped within 0\.05 s after SIGTERM; the process exits/);
});

test('the second signal ends a command that does not stop at the first', async t => {
  const { child, line, end } = await started(
    t,
    `const stopping = untilStopped(signal => {
      signal.addEventListener('abort', () => console.log(signal.reason.message));
      return ${NEVER};
    });
    console.log('running');
    await stopping;`,
  );
  child.kill('SIGINT');
  await line('stopped by SIGINT');
  child.kill('SIGHUP');
  assert.deepEqual(await end(), [129, null]);
});

test('who has stopped in time is let alone, and signals mean what they did before', async t => {
  const { child, said, line, end } = await started(
    t,
    `const stopping = untilStopped(async signal => {
      await new Promise(resolve => signal.addEventListener('abort', resolve));
    }, { within: 100 });
    console.log('running');
    await stopping;
    setTimeout(() => console.log('stopped'), 300);`,
  );
  child.kill('SIGTERM');
  await line('stopped');
  child.kill('SIGTERM');
  assert.deepEqual(await end(), [null, 'SIGTERM']);
  assert.equal((await said).join(''), '');
});
