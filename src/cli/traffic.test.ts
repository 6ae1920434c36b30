import assert from 'node:assert/strict';
import { test } from 'node:test';
import { healthyPeer } from '../../test/support/status.ts';
import type { ForwarderTraffic } from '../api/messages.ts';
import { misplacedPackets, peerTraffic, totalTraffic } from './traffic.ts';

const counters = { sentPackets: 1, sentBytes: 84, receivedPackets: 0, receivedBytes: 0, drops: {} };
const traffic: ForwarderTraffic = {
  host: { ...counters, sentPackets: 0, sentBytes: 0, drops: { unknownPeer: 5, multicast: 9 } },
  peers: [
    {
      subnet: '188.172.9.0/24',
      ...counters,
      receivedPackets: 1200,
      receivedBytes: 1_500_000,
      drops: { tooBig: 2 },
    },
    { subnet: '188.172.10.0/24', ...counters, drops: { tooBig: 1 } },
  ],
};

test('the traffic of a peer, and of all with the packets that belong to none', () => {
  assert.equal(
    peerTraffic(healthyPeer, traffic),
    'sent 1 packet (84 bytes), received 1,200 packets (1.5 MB), dropped 2 tooBig',
  );
  assert.equal(
    totalTraffic(traffic),
    'sent 2 packets (168 bytes), received 1,200 packets (1.5 MB), dropped 5 unknownPeer, 3 tooBig',
  );
  assert.equal(peerTraffic({ ...healthyPeer, subnet: { ipv4: '10.0.0.0/24' } }, traffic), undefined);
});

test('packets of a peer that came from another address are counted together', () => {
  const drops = { unknownPeer: 3, wrongSource: 1, tooBig: 7 };
  const ofPeer = { host: counters, peers: [{ subnet: '188.172.9.0/24', ...counters, drops }] };
  assert.equal(misplacedPackets(healthyPeer, ofPeer), 4);
  assert.equal(misplacedPackets({ ...healthyPeer, subnet: { ipv4: '10.0.0.0/24' } }, ofPeer), 0);
});
