import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../../testing/properties.ts';
import { Renewal } from './renewal.ts';

test('due within a third of the time and before the margin; the deadline after it and before the end', () => {
  const ttls = fc.integer({ min: 2, max: 1_000_000 });
  const share = fc.double({ min: 0, max: 0.999, noNaN: true });
  fc.assert(
    fc.property(ttls, share, share, fc.nat(), (ttl, margin, random, sent) => {
      const lasts = ttl * 1000;
      const renewal = new Renewal({ margin: margin * lasts, random: () => random });
      renewal.confirmed(sent, ttl);
      const { due, deadline = Number.NaN } = renewal;
      assert.ok(due > sent && due <= sent + lasts / 3);
      assert.ok(due <= sent + Math.max(lasts / 100, lasts - margin * lasts));
      assert.ok(due < deadline && deadline < sent + lasts);
    }),
  );
});

test('without a lease nothing is due', () => {
  const renewal = new Renewal({ margin: 0, random: () => 0 });
  assert.deepEqual([renewal.due, renewal.deadline], [Number.POSITIVE_INFINITY, undefined]);
  renewal.confirmed(0, 60);
  renewal.stop();
  assert.deepEqual([renewal.due, renewal.deadline], [Number.POSITIVE_INFINITY, undefined]);
});
