import assert from 'node:assert/strict';
import { test } from 'node:test';
import { distributionOf } from './distribution.ts';

test('percentiles are values that occurred', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  assert.deepEqual(distributionOf(hundred), { p50: 50, p95: 95, p99: 99, max: 100 });
  assert.deepEqual(distributionOf([3.14]), { p50: 3.1, p95: 3.1, p99: 3.1, max: 3.1 });
});
