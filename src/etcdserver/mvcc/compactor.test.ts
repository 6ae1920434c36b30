import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLogger } from '../../base/log.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { Core } from '../core.ts';
import { type AutoCompaction, compactAutomatically } from './compactor.ts';

const MINUTE = 60_000;

/** Ten puts a minute for `minutes` minutes. @returns the compacted and the newest revision. */
async function live(policy: AutoCompaction, minutes: number): Promise<{ compacted: bigint; newest: bigint }> {
  const dir = mkdtempSync(join(tmpdir(), 'tt-compactor-'));
  const clock = new ManualClock();
  const stop = new AbortController();
  try {
    await using core = new Core({
      path: join(dir, 'store.db'),
      clock,
      log: silentLogger,
      quota: undefined,
      progressMs: 600_000,
      onDiskFailed: assert.ifError,
    });
    const compacting = compactAutomatically(core, policy, clock, silentLogger, stop.signal);
    for (let minute = 0; minute < minutes; minute++) {
      for (let index = 0; index < 10; index++) {
        await core.write(writer => writer.put(Uint8Array.of(index), new Uint8Array(), 0n));
      }
      await clock.advance(MINUTE);
      // Compactions go through the queue; what comes after them in it finds them done.
      await core.read(() => undefined);
      await core.read(() => undefined);
    }
    stop.abort();
    await compacting;
    return { compacted: core.mvcc.compactedRevision, newest: core.mvcc.revision };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

test('history is kept for as long as was asked, and little longer', async () => {
  const { compacted, newest } = await live({ mode: 'periodic', keepMs: 20 * MINUTE }, 60);
  assert.equal(newest, 601n);
  const kept = newest - compacted;
  assert.ok(kept >= 200n && kept <= 240n, `${kept} revisions are kept of 10 a minute for 20 minutes`);
});

test('so many revisions are kept as were asked, and those of one interval', async () => {
  const { compacted, newest } = await live({ mode: 'revision', keep: 100n }, 30);
  const kept = newest - compacted;
  assert.ok(kept >= 100n && kept <= 150n, `${kept} revisions are kept`);
});

test('nothing is compacted before there is enough', async () => {
  assert.equal((await live({ mode: 'periodic', keepMs: 60 * MINUTE }, 30)).compacted, 0n);
  assert.equal((await live({ mode: 'revision', keep: 1000n }, 30)).compacted, 0n);
});
