import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HolderState, LeaseFailure } from '../subnet/holder/holder-state.ts';
import { parseLeaseKey } from '../subnet/lease/key.ts';
import type { Lease } from '../subnet/lease/lease.ts';
import { leaseFailure, leaseWarnings } from './lease-report.ts';

const KEY = '10.5.34.0-24';
const LEASE: Lease = {
  key: KEY,
  subnet: parseLeaseKey(KEY),
  attributes: { publicIp: {} },
  storeLease: 7n,
  createRevision: 1n,
  modRevision: 1n,
};
const state = (code: LeaseFailure['code'], more: Partial<HolderState> = {}): HolderState => ({
  lease: LEASE,
  ownership: 'unconfirmed',
  published: true,
  failure: { code, reason: 'permission denied: a host has one lease' },
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

test('a warning has the hint of its failure, and none where that has none', () => {
  const failure = { code: 'STORE_REFUSED', reason: 'permission denied' } as const;
  for (const given of [failure, { ...failure, hint: 'enroll this host again' }]) {
    for (const published of [true, false]) {
      const [warning] = leaseWarnings(state('STORE_REFUSED', { published, failure: given }));
      assert.ok(warning);
      assert.deepEqual(
        'hint' in warning ? { hint: warning.hint } : {},
        'hint' in given ? { hint: given.hint } : {},
      );
    }
  }
});

test('a failure is a condition only while there is no lease', () => {
  const { lease: _, ...without } = state('STORE_REFUSED');
  assert.equal(leaseFailure(state('STORE_REFUSED')), undefined);
  assert.equal(leaseFailure(without)?.code, 'STORE_REFUSED');
});
