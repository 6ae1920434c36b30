import assert from 'node:assert/strict';
import { test } from 'node:test';
import { healthyPeer, status } from '../../test/support/status.ts';
import type { FastPathStatus } from '../api/fast-path.ts';
import { fastPathText, peerFastPathText } from './fast-path-text.ts';

const counts = {
  flows: 2,
  sentPackets: 1000,
  sentBytes: 1_400_000,
  receivedPackets: 234,
  receivedBytes: 15_600,
};
const fastPath: FastPathStatus = {
  used: true,
  networks: [{ name: 'overlay', links: ['veth-a', 'veth-b'], without: [], ...counts }],
  normalPackets: {},
};
const off = { code: 'OFF_BY_FLAG', text: 'it is off on this host (--fast-path=off)' };

test('says how much goes it, and where it is not', () => {
  assert.equal(fastPathText({ fastPath }), '2 flows fast now (1,234 packets, 1.4 MB), on 2 container links');
  const without = [
    { link: 'veth-c', code: 'LINK_QUEUE', text: 'veth-c has a queue that packets must pass (tbf)' },
  ];
  const networks = fastPath.networks.map(network => ({ ...network, without }));
  assert.match(
    fastPathText({ fastPath: { ...fastPath, networks } }) ?? '',
    /; not on 1 other: veth-c has a queue that packets must pass \(tbf\)$/,
  );
});

test('or why it is not used', () => {
  assert.equal(
    fastPathText({ fastPath: { ...fastPath, used: false, obstacle: off } }),
    `not used: ${off.text}`,
  );
  assert.equal(fastPathText({}), undefined);
});

test('of a peer, its flows or its reason', () => {
  const of = (peer: object, changes: object = {}) =>
    peerFastPathText({ ...healthyPeer, ...peer }, status({ fastPath: { ...fastPath, ...changes } }));
  assert.equal(of({}), 'no flow now');
  assert.equal(of({ fastPath: counts }), '2 flows fast now (1,234 packets, 1.4 MB)');
  assert.equal(of({ fastPath: { ...counts, obstacle: off } }), `not used: ${off.text}`);
  assert.equal(of({}, { used: false, obstacle: off }), `not used: ${off.text}`);
});
