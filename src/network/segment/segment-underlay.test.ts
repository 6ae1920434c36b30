import assert from 'node:assert/strict';
import { test } from 'node:test';
import { valuesOf } from '../../base/per-family.ts';
import { network } from '../../testing/network/overlay-harness.ts';
import { segmentUnderlay } from './segment-underlay.ts';

const CRITERIA = { interfaces: ['eth0'], patterns: [], publicIp: {} };

test('an address of one family is enough, and both are published', () => {
  const chosen = (...addresses: string[]) => {
    const choice = segmentUnderlay(
      network(addresses[0] ?? '', true, ...addresses.slice(1)),
      CRITERIA,
      undefined,
    );
    return choice.found ? valuesOf(choice.underlay.publicIp).map(String) : [choice.reason];
  };
  assert.deepEqual(chosen('192.168.65.3/24'), ['192.168.65.3']);
  assert.deepEqual(chosen('fd65::3/64'), ['fd65::3']);
  assert.deepEqual(chosen('192.168.65.3/24', 'fd65::3/64'), ['192.168.65.3', 'fd65::3']);
});

test('a link that is down carries nothing, and why is said', () => {
  const choice = segmentUnderlay(network('192.168.65.3/24', false), CRITERIA, undefined);
  assert.ok(!choice.found && choice.reason.includes('eth0 is down'));
});
