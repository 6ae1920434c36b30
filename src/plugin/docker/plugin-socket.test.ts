import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { callPlugin } from '../../../test/support/docker-orders.ts';
import { eventually } from '../../../test/support/eventually.ts';
import { silentLogger } from '../../base/log.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { servePlugin } from './plugin-socket.ts';

const DEADLINE = { timeout: 60_000 };

function serve(t: TestContext, whenDockerIs = false) {
  const directory = mkdtempSync(join(tmpdir(), 'tt-socket-'));
  const path = join(directory, 'docker', 'plugins', 'tulle.sock');
  const clock = new ManualClock();
  const stop = new AbortController();
  const states: string[] = [];
  const onState = (listening: boolean, failure = '') => void states.push(`${listening} ${failure}`.trim());
  const calls = { '/Plugin.Activate': { answer: () => ({ Implements: [] }) } };
  const parts = { path, whenDockerIs, passed: undefined, calls, clock, logger: silentLogger, onState };
  const start = () => {
    const running = servePlugin(parts, stop.signal);
    t.after(async () => {
      stop.abort();
      await running;
      rmSync(directory, { recursive: true, force: true });
    });
  };
  const answers = () =>
    callPlugin(path, '/Plugin.Activate').then(
      ({ status }) => status === 200,
      () => false,
    );
  return { directory, path, clock, stop, states, start, answers };
}

test(
  'a socket is put in place whole, open to root alone, and is made again when it is gone',
  DEADLINE,
  async t => {
    const { directory, path, clock, start, answers, stop } = serve(t);
    mkdirSync(join(directory, 'docker', 'plugins'), { recursive: true });
    // What a former agent that was killed has left.
    writeFileSync(`${path}.new`, '');
    writeFileSync(path, '');
    start();
    await eventually('it answers', answers);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(join(directory, 'docker', 'plugins')), ['tulle.sock']);
    rmSync(join(directory, 'docker'), { recursive: true });
    await eventually('it answers again', async () => {
      await clock.advance(100);
      return answers();
    });
    stop.abort();
    await eventually('it is gone with the agent', async () => {
      return readdirSync(join(directory, 'docker', 'plugins')).length === 0;
    });
  },
);

test('a socket at which another process answers is left alone, and tried again', DEADLINE, async t => {
  const { directory, path, clock, states, start, answers } = serve(t);
  mkdirSync(join(directory, 'docker', 'plugins'), { recursive: true });
  const other = createServer(client => client.destroy());
  await new Promise<void>(resolve => other.listen(path, resolve));
  start();
  await eventually('it says so', async () => states.includes(`false another process answers at ${path}`));
  await new Promise(resolve => other.close(resolve));
  await eventually('it answers', async () => {
    await clock.advance(1000);
    return answers();
  });
});

test('nothing is made on a host without Docker, until it comes', DEADLINE, async t => {
  const { directory, states, start, answers } = serve(t, true);
  start();
  await eventually('it waits', async () => states.includes('false'));
  assert.deepEqual(readdirSync(directory), []);
  mkdirSync(join(directory, 'docker'));
  await eventually('it answers', answers);
});
