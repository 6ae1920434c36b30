import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STATUS } from '../../../test/support/look-host.ts';
import { ApiError } from '../../api/client.ts';
import { silenceCauses, stateCauses } from './agent.ts';

const SINCE = '2026-01-01T00:00:00.000Z';
const NOW = Date.parse(SINCE);
const codesOf = (status: Partial<typeof STATUS>) =>
  stateCauses({ ...STATUS, ...status }, NOW).map(
    ({ code, severity, layer }) => `${code} ${severity} ${layer}`,
  );

test('a ready agent has nothing to say', () => {
  assert.deepEqual(codesOf({}), []);
});

test('conditions and warnings keep their codes; what other checks find is left to them', () => {
  const conditions: typeof STATUS.conditions = [
    { name: 'store', ok: false, required: false, code: 'STORE_UNAVAILABLE', reason: 'r', since: SINCE },
    { name: 'lease', ok: false, required: true, code: 'DUPLICATE_IDENTITY', reason: 'r', since: SINCE },
    { name: 'config', ok: false, required: true, code: 'STARTING', reason: 'r', since: SINCE },
  ];
  const warning = { severity: 'warning', title: 't', text: 'x', since: SINCE } as const;
  const warnings = ['DUPLICATE_PUBLIC_IP', 'FORWARDING_OFF', 'PEER_SILENT', 'NETWORK_FAILED'].map(code => ({
    ...warning,
    code,
  }));
  assert.deepEqual(codesOf({ conditions, warnings }), [
    'STORE_UNAVAILABLE warning store',
    'DUPLICATE_IDENTITY error identity',
    'AGENT_NOT_READY warning store',
    'DUPLICATE_PUBLIC_IP warning identity',
  ]);
});

test('leases that are not used, and one that has expired', () => {
  const [peer] = STATUS.peers;
  assert.ok(peer !== undefined && STATUS.lease !== undefined);
  const peers = [
    { ...peer, state: 'rejected' as const, reason: 'overlaps' },
    { ...peer, state: 'failed' as const, reason: 'no' },
  ];
  assert.deepEqual(codesOf({ peers }), ['LEASE_WRONG warning store', 'PEER_NOT_PROGRAMMED error tunnel']);
  assert.deepEqual(codesOf({ lease: { ...STATUS.lease, expires: '2025-12-31T00:00:00.000Z' } }), [
    'LEASE_GONE warning store',
  ]);
});

test('an agent that does not answer', () => {
  const [down] = silenceCauses(new ApiError('AGENT_NOT_RUNNING', 'nothing listens'), []);
  const [hung] = silenceCauses(new ApiError('TIMEOUT', 'no answer'), []);
  const [stopped] = silenceCauses(new ApiError('TIMEOUT', 'no answer'), [
    { pid: 41, isStopped: true, isElsewhere: false },
  ]);
  assert.deepEqual([down?.code, hung?.code, stopped?.remedy], ['AGENT_DOWN', 'AGENT_HUNG', 'kill -CONT 41']);
  const deaf = (isElsewhere: boolean) =>
    silenceCauses(new ApiError('AGENT_NOT_RUNNING', 'nothing listens'), [
      { pid: 42, isStopped: false, isElsewhere },
    ]);
  assert.deepEqual([deaf(false)[0]?.code, deaf(true)[0]?.code], ['AGENT_HUNG', 'AGENT_DOWN']);
  assert.deepEqual(silenceCauses(new ApiError('PERMISSION_DENIED', 'no'), []), []);
});
