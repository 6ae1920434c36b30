import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flannelAttributes, hostAttributes } from '../../../test/support/registry.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { parseLeaseKey } from '../lease/key.ts';
import type { Lease } from '../lease/lease.ts';
import { ConflictBackoff } from './conflict-backoff.ts';

const KEY = '10.5.9.0-24';
const lease = (attributes: Lease['attributes']): Lease => ({
  key: KEY,
  subnet: parseLeaseKey(KEY),
  attributes,
  storeLease: 1n,
  createRevision: 1n,
  modRevision: 1n,
});
const OURS = lease(hostAttributes(3));
const MINUTE = 60_000;

function make() {
  const clock = new ManualClock();
  const backoff = new ConflictBackoff(clock);
  const pauseAfterOverwrite = (found = lease(flannelAttributes(4))) => {
    backoff.recordOverwrite(OURS, found);
    return backoff.until - clock.monotonic();
  };
  return { clock, backoff, pauseAfterOverwrite, other: () => String(backoff.otherWriter?.address) };
}

test('each overwrite is repaired later than the one before, up to a minute', () => {
  const { backoff, pauseAfterOverwrite } = make();
  assert.equal(backoff.isOver, true);
  const pauses = Array.from({ length: 9 }, () => pauseAfterOverwrite());
  assert.deepEqual(pauses, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, MINUTE, MINUTE]);
  assert.equal(backoff.isOver, false);
  backoff.interrupt();
  assert.equal(backoff.isOver, true);
  assert.equal(pauseAfterOverwrite(), MINUTE, 'an interruption forgets nothing');
});

test('another writer is known from its second overwrite on, until five minutes are quiet', async () => {
  const { clock, backoff, pauseAfterOverwrite, other } = make();
  pauseAfterOverwrite();
  assert.deepEqual([other(), backoff.conflictEnds], ['undefined', Number.POSITIVE_INFINITY]);
  pauseAfterOverwrite();
  assert.deepEqual([other(), backoff.conflictEnds], ['192.168.65.4', 5 * MINUTE]);
  await clock.advance(5 * MINUTE - 1);
  assert.equal(other(), '192.168.65.4');
  await clock.advance(1);
  assert.equal(other(), 'undefined');
  assert.equal(pauseAfterOverwrite(), 500, 'a new conflict begins');
  assert.equal(other(), 'undefined');
});

test('a former value of this host that is put back is no other writer, and repaired later each time', () => {
  const { backoff, pauseAfterOverwrite, other } = make();
  const [own, moved] = [3, 4].map(host => lease({ ...hostAttributes(host), machine: 'm' }));
  assert.ok(own !== undefined && moved !== undefined);
  backoff.recordOverwrite(own, moved);
  const former = lease({ ...hostAttributes(3), machine: 'm' });
  for (let times = 0; times < 3; times++) backoff.recordOverwrite(own, former);
  assert.equal(other(), 'undefined');
  assert.equal(pauseAfterOverwrite(moved), 8000);
  assert.equal(other(), '192.168.65.4');
});

test('a host that claims our identity is known at once, and nothing waits for it', () => {
  const { backoff, other } = make();
  backoff.recordDuplicate(OURS, hostAttributes(5));
  assert.deepEqual([backoff.otherWriter?.key, other(), backoff.isOver], [KEY, '192.168.65.5', true]);
});

test('after a reset nothing is known, and nothing waits', () => {
  const { backoff, pauseAfterOverwrite, other } = make();
  for (let time = 0; time < 4; time++) pauseAfterOverwrite();
  backoff.recordDuplicate(OURS, hostAttributes(5));
  backoff.reset();
  assert.deepEqual([other(), backoff.isOver], ['undefined', true]);
  assert.equal(pauseAfterOverwrite(), 500);
});
