import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { eventually } from '../../test/support/eventually.ts';
import { Latest } from '../base/latest.ts';
import { recordingLogger } from '../base/log.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { EventLog } from './event-log.ts';
import { Health } from './health.ts';
import { keepIdentity, surviveDefects } from './housekeeping.ts';
import { KnownStateFile } from './known-state.ts';
import { Identity } from './state-directory.ts';

function newHealth(clock = new ManualClock()) {
  return new Health(clock, new EventLog({ clock, logger: recordingLogger() }));
}

test('a defect is a warning and a line of the log, and the process goes on', () => {
  const health = newHealth();
  const logger = recordingLogger();
  // The test runner listens as well, and would fail the test.
  const others = process.rawListeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  try {
    using _surviving = surviveDefects(health, logger);
    assert.equal(process.listenerCount('unhandledRejection') > 0, true);
    process.emit('uncaughtException', new TypeError('a defect'));
    assert.deepEqual(
      health.warnings().map(({ code, text }) => [code, text]),
      [['DEFECT', 'a defect']],
    );
    assert.match(JSON.stringify(logger.records), /a defect/);
  } finally {
    for (const other of others) process.on('uncaughtException', other as NodeJS.UncaughtExceptionListener);
  }
  assert.equal(process.listenerCount('uncaughtException'), others.length);
});

test('an identity that could not be saved is trouble, and saved once the disk takes it', async t => {
  const root = mkdtempSync(join(tmpdir(), 'tt-keep-'));
  t.after(() => rmSync(root, { recursive: true }));
  const directory = join(root, 'tulle');
  writeFileSync(directory, 'in the way');
  const clock = new ManualClock();
  const health = newHealth(clock);
  const identity = await Identity.open(directory);
  const knownFile = new KnownStateFile(directory, '/network', clock);
  const used = new Latest(0);
  const stop = new AbortController();
  t.after(() => stop.abort());
  const keeping = keepIdentity({ identity, knownFile, used, health, clock }, stop.signal);
  const state = () => health.conditions().find(({ name }) => name === 'state');

  used.set(1);
  await eventually('trouble', async () => state()?.code?.startsWith('STATE_NOT_'));
  rmSync(directory);
  await eventually('saved', async () => {
    await clock.advance(5_000);
    return state()?.ok;
  });
  assert.match(readFileSync(join(directory, 'identity.json'), 'utf8'), new RegExp(identity.hostId));
  stop.abort();
  await keeping;
});
