import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { recordingLogger } from '../base/log.ts';
import { AsyncQueue } from '../testing/async-queue.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import type { DesiredFirewall } from './desired.ts';
import { FirewallError } from './engine.ts';
import type { FirewallReport } from './firewall.ts';
import { FirewallReconciler } from './reconciler.ts';

const DESIRED: DesiredFirewall = {
  nftables: true,
  blocks: [],
  masquerade: true,
  forward: true,
  randomFully: true,
};
const FINE: FirewallReport = {
  engine: 'nftables',
  announced: true,
  repaired: [],
  obstacles: [],
  dependsOnPeers: false,
};
const BROKEN = new FirewallError('REFUSED', 'nft: busy');

/** A reconciler over a firewall with the given answers, which remembers when it was asked. */
function reconcile(t: TestContext, answers: (FirewallReport | Error)[]) {
  const clock = new ManualClock();
  const changes = new AsyncQueue<void>();
  const log = recordingLogger();
  const asked: number[] = [];
  const repairs: (readonly string[])[] = [];
  let staleMarks = 0;
  const reconciler = new FirewallReconciler({
    clock,
    log,
    resyncInterval: 5000,
    async *changes(signal) {
      yield* changes.consume(signal);
      if (!signal.aborted) throw new Error('the socket is gone');
    },
    onRepair: repaired => repairs.push(repaired),
    firewall: {
      markStale: () => void staleMarks++,
      apply: async () => {
        asked.push(clock.monotonic());
        const answer = answers.shift() ?? FINE;
        if (answer instanceof Error) throw answer;
        return answer;
      },
    },
  });
  t.after(() => reconciler[Symbol.asyncDispose]());
  return { reconciler, clock, changes, log, asked, repairs, staleMarks: () => staleMarks };
}

describe('FirewallReconciler', () => {
  test('compares once after a burst of changes, and reports what it repaired', async t => {
    const { reconciler, clock, changes, asked, repairs, staleMarks } = reconcile(t, [
      FINE,
      { ...FINE, repaired: ['x'] },
    ]);
    await reconciler.apply(DESIRED);
    changes.push(undefined, undefined, undefined);
    await clock.advance(1000);
    assert.equal(asked.length, 2);
    assert.equal(staleMarks(), 1);
    assert.deepEqual(repairs, [['x']]);
  });

  test('does nothing while nothing is wanted and nothing changes', async t => {
    const { reconciler, clock, changes, asked } = reconcile(t, []);
    const sleep = t.mock.method(clock, 'sleep');
    changes.push(undefined);
    await clock.advance(60_000);
    assert.deepEqual(asked, []);
    assert.ok(sleep.mock.callCount() < 60, `woke up ${sleep.mock.callCount()} times for one change`);
    assert.equal(reconciler.state.ok, false);
    await reconciler.apply(DESIRED);
    await clock.advance(60_000);
    assert.equal(asked.length, 2, 'the interval that ran when it was applied, and no more');
    await clock.advance(10 * 60_000);
    assert.equal(asked.length, 3, 'announced changes are trusted for ten minutes');
  });

  test('makes another writer wait that undoes every repair, and reports it until it rests', async t => {
    const broken = { ...FINE, repaired: ['the jump to FLANNEL-FWD is missing'] };
    const { reconciler, clock, changes, asked, repairs } = reconcile(t, [FINE, ...Array(40).fill(broken)]);
    await reconciler.apply(DESIRED);
    for (let time = 0; time < 30_000; time += 100) {
      changes.push(undefined);
      await clock.advance(100);
    }
    assert.ok(asked.length >= 45 && asked.length <= 62, `${asked.length} comparisons in 30 s`);
    assert.equal(reconciler.state.conflict?.latest, broken.repaired[0]);
    assert.ok(repairs.length <= 16, `reported ${repairs.length} times`);
    await clock.advance(15_000);
    assert.equal(reconciler.state.conflict, undefined);
    assert.equal(repairs.flat().length, 40, 'each was reported');
  });

  test('compares by time where changes are not announced', async t => {
    const { reconciler, clock, asked } = reconcile(t, Array(20).fill({ ...FINE, announced: false }));
    await reconciler.apply(DESIRED);
    await clock.advance(26_000);
    assert.equal(asked.length, 6);
  });

  test('tries again with growing delays, reports the failure once and the recovery', async t => {
    const { reconciler, clock, log, asked } = reconcile(t, [BROKEN, BROKEN, BROKEN, BROKEN, FINE]);
    await assert.rejects(reconciler.apply(DESIRED), BROKEN);
    assert.deepEqual(reconciler.state, {
      ok: false,
      lastError: 'nft: busy',
      obstacles: [],
      dependsOnPeers: false,
    });
    await clock.advance(20_000);
    assert.equal(asked.length, 5);
    const gaps = asked.slice(2).map((time, index) => time - (asked[index + 1] ?? 0));
    assert.ok(
      gaps.every((gap, index) => index === 0 || gap > (gaps[index - 1] ?? 0) * 0.9),
      gaps.join(),
    );
    assert.deepEqual(
      log.records.map(({ level, message }) => `${level}: ${message}`),
      ['error: cannot set up the firewall', 'info: the firewall has recovered'],
    );
    assert.equal(reconciler.state.ok, true);
  });

  test('compares by time once announcements do not come any more, and says why', async t => {
    const { reconciler, clock, changes, log, asked } = reconcile(t, []);
    await reconciler.apply(DESIRED);
    await clock.advance(6000);
    changes.end();
    asked.length = 0;
    await clock.advance(11 * 60_000);
    assert.ok(asked.length > 10, `${asked.length} comparisons in the minute after the last long wait`);
    assert.deepEqual(log.records[0]?.fields, { error: 'the socket is gone' });
  });
});
