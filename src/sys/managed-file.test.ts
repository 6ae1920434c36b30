import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { deadline } from '../../test/support/eventually.ts';
import { systemClock } from '../base/clock.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import { ManagedFile } from './managed-file.ts';

let root: string;
let path: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tt-kept-'));
  path = join(root, 'flannel', 'subnet.env');
});
afterEach(() => rmSync(root, { recursive: true }));

const run = (file: ManagedFile) => {
  const stop = new AbortController();
  const running = file.run(stop.signal);
  return {
    until: (ok: boolean) =>
      file.state.until(
        state => state.ok === ok && (ok || state.lastError !== undefined),
        deadline('it is as wanted'),
      ),
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await running;
    },
  };
};

test('is written, and written again when something else is wanted', async () => {
  const replaced: string[][] = [];
  const file = new ManagedFile(path, systemClock, { onReplaced: (...change) => replaced.push(change) });
  await using running = run(file);
  file.set('A=1\n');
  await running.until(true);
  assert.equal(readFileSync(path, 'utf8'), 'A=1\n');
  assert.deepEqual(replaced, [], 'there was none before');
  file.set('A=2\n');
  await running.until(true);
  assert.equal(readFileSync(path, 'utf8'), 'A=2\n');
  assert.deepEqual(replaced, [['A=1\n', 'A=2\n']]);
});

test('is left alone when it is right already', async () => {
  const one = new ManagedFile(path, systemClock);
  await using running = run(one);
  one.set('A=1\n');
  await running.until(true);
  const { ino } = statSync(path);
  const two = new ManagedFile(path, systemClock);
  await using again = run(two);
  two.set('A=1\n');
  await again.until(true);
  assert.equal(statSync(path).ino, ino);
});

test('is tried again until the disk lets it be written, with what is wanted by then', async () => {
  writeFileSync(join(root, 'flannel'), 'in the way');
  const clock = new ManualClock();
  const file = new ManagedFile(path, clock);
  await using running = run(file);
  file.set('A=1\n');
  const { lastError } = await running.until(false);
  assert.match(lastError ?? '', /ENOTDIR|EEXIST/);
  file.set('A=2\n');
  rmSync(join(root, 'flannel'));
  const done = running.until(true);
  await clock.advance(1000);
  await done;
  assert.equal(readFileSync(path, 'utf8'), 'A=2\n');
});

test('A1: stays as it is while it has another owner, and is written when that is over', async () => {
  writeFileSync(join(root, 'subnet.env'), 'FLANNEL_NETWORK=10.42.0.0/16\n');
  const clock = new ManualClock();
  const file = new ManagedFile(join(root, 'subnet.env'), clock, {
    ownerOf: content => (content.includes('10.42.') ? 'that of 10.42' : undefined),
  });
  await using running = run(file);
  file.set('A=1\n');
  const { owner } = await file.state.until(state => state.owner !== undefined, deadline('it is as wanted'));
  assert.equal(owner, 'that of 10.42');
  assert.equal(readFileSync(file.path, 'utf8'), 'FLANNEL_NETWORK=10.42.0.0/16\n');
  rmSync(file.path);
  const done = running.until(true);
  await clock.advance(1000);
  await done;
  assert.equal(readFileSync(file.path, 'utf8'), 'A=1\n');
});
