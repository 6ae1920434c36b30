import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, test } from 'node:test';
import { ManualClock } from '../testing/manual-clock.ts';
import { fc } from '../testing/properties.ts';
import { backoff, type Clock, systemClock } from './clock.ts';

for (const [name, make] of [
  ['systemClock', () => ({ clock: systemClock, advance: () => Promise.resolve() })],
  [
    'ManualClock',
    () => {
      const clock = new ManualClock();
      return { clock, advance: (ms: number) => clock.advance(ms) };
    },
  ],
] as const satisfies [string, () => { clock: Clock; advance: (ms: number) => Promise<void> }][]) {
  describe(name, () => {
    test('sleep ends, and monotonic time has passed', async () => {
      const { clock, advance } = make();
      const before = clock.monotonic();
      const slept = clock.sleep(20);
      await advance(20);
      await slept;
      // Timers may fire some milliseconds early by this clock: theirs is one that the kernel moves at its ticks.
      assert.ok(clock.monotonic() - before > 10);
    });

    test('a sleep that is over leaves nothing at its signal', async () => {
      const { clock, advance } = make();
      const { signal } = new AbortController();
      const slept = clock.sleep(1, signal);
      assert.equal(getEventListeners(signal, 'abort').length, 1);
      await advance(1);
      await slept;
      assert.equal(getEventListeners(signal, 'abort').length, 0);
    });

    test('an abort ends a sleep with its reason, before or during it', async () => {
      const { clock } = make();
      const reason = new Error('enough');
      await assert.rejects(clock.sleep(60_000, AbortSignal.abort(reason)), reason);
      const stop = new AbortController();
      const slept = clock.sleep(60_000, stop.signal);
      stop.abort(reason);
      await assert.rejects(slept, reason);
    });
  });
}

describe('ManualClock', () => {
  test('sleepers wake in the order of their time, and what they do happens at that time', async () => {
    const clock = new ManualClock();
    const log: string[] = [];
    const tick = async (name: string, every: number) => {
      for (let round = 0; round < 3; round++) {
        await clock.sleep(every);
        log.push(`${name}@${clock.monotonic()}`);
      }
    };
    const all = Promise.all([tick('slow', 30), tick('fast', 20)]);
    await clock.advance(59);
    assert.deepEqual(log, ['fast@20', 'slow@30', 'fast@40']);
    await clock.advance(100);
    await all;
    assert.deepEqual(log.slice(3), ['slow@60', 'fast@60', 'slow@90']);
    assert.equal(clock.monotonic(), 159);
    assert.equal(clock.now(), Date.UTC(2026, 0, 1) + 159);
    assert.equal(clock.sleeping, 0);
  });
});

test('backoff doubles from the first delay to the cap, each spread over the upper half', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (first, random) => {
        const cap = first * 10;
        const delays = backoff(first, cap, () => random);
        for (const whole of [first, 2 * first, 4 * first, 8 * first, cap, cap]) {
          const { value } = delays.next();
          assert.ok(value >= whole / 2 && value < whole, `${value} of ${whole}`);
        }
      },
    ),
  );
});
