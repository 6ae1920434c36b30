/** What a store does when its disk fails under it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { messageOf } from '../base/errors.ts';
import { recordingLogger } from '../base/log.ts';
import {
  AlarmRequest_AlarmAction as AlarmAction,
  AlarmRequestSchema,
  AlarmType,
} from '../store/wire/generated/maintenance_pb.ts';
import { ManualClock, settle } from '../testing/manual-clock.ts';
import { Core } from './core.ts';
import { maintenanceService } from './maintenance-service.ts';

const KEY = Uint8Array.of(1);

async function withCore(
  t: TestContext,
  body: (core: { core: Core; clock: ManualClock; reported: () => string[]; ended: Error[] }) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'tt-core-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  t.mock.timers.enable({ apis: ['setInterval'] });
  const clock = new ManualClock();
  const log = recordingLogger();
  const ended: Error[] = [];
  const core = new Core({
    path: join(directory, 'store.db'),
    clock,
    log,
    quota: undefined,
    progressMs: 600_000,
    onDiskFailed: error => ended.push(error),
  });
  try {
    await body({ core, clock, reported: () => log.records.map(({ message }) => message), ended });
  } finally {
    core.database[Symbol.dispose]();
  }
}

/** Every fsync fails from now on. */
function breakDisk({ database }: Core): void {
  const fail = () => {
    throw new Error('I/O error');
  };
  Object.assign(database, { flushNow: fail, flush: async () => fail() });
}

test('a compaction that nobody waits for fails quietly when the disk does', async t => {
  await withCore(t, async ({ core, reported, ended }) => {
    for (let value = 0; value < 3; value++) {
      await core.write(writer => writer.put(KEY, Uint8Array.of(value), 0n));
    }
    await core.update(() => core.mvcc.compact(core.mvcc.revision));
    breakDisk(core);
    core.sweepAlone();
    await settle();
    assert.deepEqual(reported(), ['could not remove old history; it will be tried again']);
    assert.deepEqual(core.problems, ['the store can no longer write to its disk: I/O error']);
    assert.deepEqual(ended.map(messageOf), core.problems, 'the process is asked once to end');
  });
});

test('what keeps failing for one reason is reported once', async t => {
  await withCore(t, async ({ core, clock, reported }) => {
    for (let id = 1n; id <= 3n; id++) await core.update(() => core.lessor.grant(id, 5n));
    breakDisk(core);
    await clock.advance(10_000);
    for (let tick = 0; tick < 4; tick++) {
      t.mock.timers.tick(250);
      await settle();
    }
    // The first fsync that fails gives its own reason; after it every job is refused.
    assert.deepEqual(reported().slice(2), []);
    assert.equal(reported()[0], 'could not expire a lease; it will be tried again');
  });
});

function alarmsOf(core: Core) {
  const { alarm } = maintenanceService(core);
  return async (action: AlarmAction, type: AlarmType, commonName?: string) => {
    const request = create(AlarmRequestSchema, { action, alarm: type });
    const answer = alarm?.(request, {
      peer: 'test',
      token: undefined,
      commonName,
      requestBytes: 0,
    }) as Promise<{
      readonly alarms: readonly { alarm: AlarmType }[];
    }>;
    return (await answer).alarms.map(one => one.alarm);
  };
}

test('alarms are listed by their type', t =>
  withCore(t, async ({ core }) => {
    const ask = alarmsOf(core);
    await ask(AlarmAction.ACTIVATE, AlarmType.NOSPACE);
    assert.deepEqual(await ask(AlarmAction.GET, AlarmType.NONE), [AlarmType.NOSPACE]);
    assert.deepEqual(await ask(AlarmAction.GET, AlarmType.NOSPACE), [AlarmType.NOSPACE]);
    assert.deepEqual(await ask(AlarmAction.GET, AlarmType.CORRUPT), []);
  }));

test('only root raises an alarm, which would stop all writes, or ends one; everybody may list them', t =>
  withCore(t, async ({ core }) => {
    for (const user of ['root', 'ann']) core.auth.addUser(user, undefined);
    core.auth.addRole('root');
    core.auth.grantRole('root', 'root');
    core.auth.setEnabled(true);
    const ask = alarmsOf(core);
    const denied = { message: /permission denied/ };
    await assert.rejects(ask(AlarmAction.ACTIVATE, AlarmType.NOSPACE, 'ann'), denied);
    assert.deepEqual(await ask(AlarmAction.GET, AlarmType.NONE, 'ann'), []);
    assert.deepEqual(await ask(AlarmAction.ACTIVATE, AlarmType.NOSPACE, 'root'), [AlarmType.NOSPACE]);
    await assert.rejects(ask(AlarmAction.DEACTIVATE, AlarmType.NOSPACE, 'ann'), denied);
    assert.deepEqual(await ask(AlarmAction.GET, AlarmType.NONE, 'ann'), [AlarmType.NOSPACE]);
  }));
