import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { silentLogger } from '../base/log.ts';
import { AsyncQueue } from '../testing/async-queue.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import { RuleKeeper } from './rule-keeper.ts';

/** A keeper whose rules are refused as often as is asked for; what it wrote is remembered, and when. */
function keep(t: TestContext, failures: string[] = []) {
  const clock = new ManualClock();
  const changes = new AsyncQueue<void>();
  const applied: { readonly count: number; readonly at: number }[] = [];
  const states: (string | undefined)[] = [];
  const keeper = new RuleKeeper<readonly object[]>({
    what: 'a test',
    apply: async wanted => {
      applied.push({ count: wanted.length, at: clock.monotonic() });
      const failure = failures.shift();
      if (failure !== undefined) throw new Error(failure);
    },
    changes: signal => changes.consume(signal),
    clock,
    logger: silentLogger,
    onState: failure => states.push(failure),
  });
  const stop = new AbortController();
  const running = keeper.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
  });
  return { keeper, clock, changes, applied, states };
}

const RULE = {};

test('nothing is written before it is stated, and many statements are one write', async t => {
  const { keeper, clock, changes, applied } = keep(t);
  changes.push(undefined);
  await clock.advance(1000);
  assert.deepEqual(applied, []);
  for (let count = 0; count <= 50; count++) keeper.set(Array.from({ length: count }, () => RULE));
  await clock.advance(1000);
  assert.deepEqual(
    applied.map(({ count }) => count),
    [50],
  );
});

test('a change by another program leads to a comparison, and a hundred of them to few', async t => {
  const { keeper, clock, changes, applied } = keep(t);
  keeper.set([RULE]);
  await clock.advance(1000);
  changes.push(undefined);
  await clock.advance(1000);
  assert.equal(applied.length, 2);
  for (let change = 0; change < 100; change++) {
    changes.push(undefined);
    await clock.advance(30);
  }
  assert.ok(applied.length < 30, `${applied.length} comparisons`);
});

test('a failure is reported once, tried again with growing delays, and its end is reported', async t => {
  const { keeper, clock, applied, states } = keep(t, [
    'no bridge family',
    'no bridge family',
    'no bridge family',
  ]);
  keeper.set([RULE]);
  await clock.advance(60_000);
  assert.equal(applied.length, 4);
  assert.deepEqual(states, ['no bridge family', undefined]);
  const delays = applied.slice(1).map(({ at }, index) => at - (applied[index]?.at ?? 0));
  assert.deepEqual(
    delays,
    delays.toSorted((a, b) => a - b),
  );
});
