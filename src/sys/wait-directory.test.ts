import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { eventually } from '../../test/support/eventually.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import { untilInDirectory } from './wait-directory.ts';

const DEADLINE = { timeout: 60_000 };

function waiting(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), 'tt-wait-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const directory = join(root, 'above', 'watched');
  mkdirSync(directory, { recursive: true });
  const clock = new ManualClock();
  const stop = new AbortController();
  let looks = 0;
  let isDone = false;
  const isSo = () => {
    looks++;
    return existsSync(join(directory, 'wanted'));
  };
  const done = untilInDirectory(directory, isSo, clock, stop.signal).then(() => void (isDone = true));
  return { root, directory, clock, stop, done, looks: () => looks, isDone: () => isDone };
}

test('a change in the directory is seen without a look at the clock', DEADLINE, async t => {
  const { directory, done, looks } = waiting(t);
  for (let at = 0; at < 5; at++) {
    const before = looks();
    writeFileSync(join(directory, `other${at}`), '');
    await eventually('it looks', async () => looks() > before);
  }
  writeFileSync(join(directory, 'wanted'), '');
  await done;
});

test('another directory at the same path is seen when the watch is renewed', DEADLINE, async t => {
  const { root, directory, clock, isDone } = waiting(t);
  renameSync(join(root, 'above'), join(root, 'former'));
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'wanted'), '');
  await eventually('it is found', async () => {
    await clock.advance(30_000);
    return isDone();
  });
});

test('a directory that is not there yet is looked for, and nobody waits after the end', DEADLINE, async t => {
  const { directory, clock, stop, done, looks } = waiting(t);
  rmSync(directory, { recursive: true });
  await eventually('it looks again', async () => {
    const before = looks();
    await clock.advance(5000);
    return looks() > before;
  });
  stop.abort();
  await done;
  assert.equal(existsSync(directory), false);
});
