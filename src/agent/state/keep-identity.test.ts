import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually } from '../../../test/support/eventually.ts';
import { recordingLogger } from '../../base/log.ts';
import { Watchable } from '../../base/watchable.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { EventLog } from '../health/event-log.ts';
import { Health } from '../health/health.ts';
import { keepIdentity } from './keep-identity.ts';
import { KnownStateFile } from './known-state.ts';
import { Identity } from './state-directory.ts';

function newHealth(clock = new ManualClock()) {
  return new Health(clock, new EventLog({ clock, logger: recordingLogger() }));
}

test('an identity that could not be saved is a failure, and saved once the disk takes it', async t => {
  const root = mkdtempSync(join(tmpdir(), 'tt-keep-'));
  t.after(() => rmSync(root, { recursive: true }));
  const directory = join(root, 'tulle');
  writeFileSync(directory, 'in the way');
  const clock = new ManualClock();
  const health = newHealth(clock);
  const identity = await Identity.open(directory);
  const knownFile = new KnownStateFile(directory, '/network', clock);
  const used = new Watchable(0);
  const stop = new AbortController();
  t.after(() => stop.abort());
  const keeping = keepIdentity({ identity, knownFile, used, health, clock }, stop.signal);
  const state = () => health.conditions().find(({ name }) => name === 'state');

  used.set(1);
  await eventually('a failure', async () => state()?.code?.startsWith('STATE_NOT_'));
  rmSync(directory);
  await eventually('saved', async () => {
    await clock.advance(5_000);
    return state()?.ok;
  });
  assert.match(readFileSync(join(directory, 'identity.json'), 'utf8'), new RegExp(identity.hostId));
  stop.abort();
  await keeping;
});
