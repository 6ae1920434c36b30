import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HolderState, LeaseTrouble } from '../subnet/holder/holder-state.ts';
import { parseLeaseKey } from '../subnet/lease/key.ts';
import type { Lease } from '../subnet/lease/lease.ts';
import { leaseWarnings } from './lease-report.ts';

const KEY = '10.5.34.0-24';
const LEASE: Lease = {
  key: KEY,
  subnet: parseLeaseKey(KEY),
  attributes: {},
  storeLease: 7n,
  createRevision: 1n,
  modRevision: 1n,
};
const state = (code: LeaseTrouble['code'], more: Partial<HolderState> = {}): HolderState => ({
  lease: LEASE,
  ownership: 'unconfirmed',
  published: true,
  trouble: { code, reason: 'permission denied: a host has one lease' },
  ...more,
});

test('D2: a store that refuses the lease of a host is a warning while the host works on with it', () => {
  const [warning, ...others] = leaseWarnings(state('STORE_REFUSED'));
  assert.equal(warning?.code, 'LEASE_REFUSED');
  assert.match(warning.text, /10\.5\.34\.0-24.*a host has one lease/);
  assert.deepEqual(others, []);
  const codes = (given: HolderState) => leaseWarnings(given).map(({ code }) => code);
  assert.deepEqual(codes(state('STORE_UNAVAILABLE')), [], 'that is the condition of the store');
  assert.deepEqual(codes(state('STORE_REFUSED', { ownership: 'held' })), []);
  assert.deepEqual(
    codes(state('STORE_REFUSED', { published: false })),
    ['LEASE_NOT_PUBLISHED'],
    'says it already',
  );
});
