import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PathName } from './paths.ts';
import { type Figures, type Past, rowsOf, type Sample } from './rows.ts';
import { pathFacts } from './table.ts';

const figures = (streamGbps: number, rrPerSecond: number): Figures => ({
  streamGbps,
  rrPerSecond,
  smallPerSecond: 1000,
  twoWayPerSecond: 500,
  cpuSecondsPerGigabyte: 0.5,
});

const none = { sent: 0, received: 0 };
const past = (sent: number): Past => ({
  stream: { sent, received: 0.5 },
  rr: none,
  small: none,
  'two-way': none,
});

const WHY_NOT = { obstacles: ['docker1: off'], normalPackets: { unproven: 1200, 'too long': 3, TTL: 0 } };

const SAMPLES = new Map<PathName, Sample[]>([
  ['host', [10, 20, 40].map(gbps => ({ figures: figures(gbps, 100) }))],
  [
    'fast',
    [
      { figures: figures(9, 90), past: past(1) },
      { figures: figures(16, 80), past: past(0.9) },
      { figures: figures(38, 99), past: past(0.2) },
    ],
  ],
  ['docker-overlay', [8, 17, 30].map(gbps => ({ figures: figures(gbps, 85) }))],
]);

test('a ratio is that to host to host of the same round, and the median of the rounds counts', () => {
  const [host, fast] = rowsOf(SAMPLES, new Map());
  assert.equal(host?.ratioStream, 1);
  assert.equal(fast?.streamGbps, 16);
  assert.deepEqual(
    fast?.rounds.map(({ ratioStream }) => ratioStream),
    [0.9, 0.8, 0.95],
  );
  // Not 16 / 20, which is the ratio of the medians.
  assert.equal(fast?.ratioStream, 0.9);
  assert.equal(fast?.ratioRr, 0.9);
  const [alone] = rowsOf(new Map([['fast', SAMPLES.get('fast') ?? []]]), new Map());
  assert.equal(alone?.ratioStream, undefined);
  assert.equal(alone?.rounds[0]?.ahead, undefined);
});

test("each round says whether a path was ahead of Docker's", () => {
  const rows = rowsOf(SAMPLES, new Map());
  assert.deepEqual(
    rows[1]?.rounds.map(({ ahead }) => ahead),
    [
      { stream: true, rr: true },
      { stream: false, rr: false },
      { stream: true, rr: true },
    ],
  );
  assert.equal(rows[2]?.rounds[0]?.ahead, undefined);
});

test('the share past the device is the median too, and what stops it is said', () => {
  const rows = rowsOf(SAMPLES, new Map([['fast', WHY_NOT]]));
  assert.equal(rows[0]?.fastPath, undefined);
  assert.deepEqual(rows[1]?.fastPath, { past: past(0.9), ...WHY_NOT });
  assert.deepEqual(pathFacts(rows), [
    'fast past the tunnel device: stream 90 % sent, 50 % received; rr 0 % sent, 0 % received; small 0 % sent, 0 % received; two-way 0 % sent, 0 % received',
    'fast: docker1: off',
    'fast packets that took the normal path: 1,200 unproven, 3 too long',
    'fast ahead of docker-overlay: stream in 2 of 3 rounds, rr in 2 of 3',
  ]);
});
