import assert from 'node:assert/strict';
import { test } from 'node:test';
import { healthyPeer, now, status } from '../../test/support/status.ts';
import type { PeerStatus } from '../api/status.ts';
import type { WayStatus } from '../api/way-status.ts';
import { waysReason, waysText, withoutChoice } from './peer-ways.ts';

const ago = (seconds: number) => new Date(now - seconds * 1000).toISOString();

const overUdp: WayStatus = {
  inUse: 'udp',
  name: 'UDP 8285',
  since: ago(9),
  answers: true,
  others: [
    { type: 'direct', name: 'the direct route', obstacle: 'it is behind the router 192.168.65.1' },
    { type: 'vxlan', name: 'VXLAN (UDP 4789)', failedSince: ago(12) },
  ],
};

const direct: WayStatus = {
  inUse: 'direct',
  name: 'the direct route',
  since: ago(50),
  others: [
    { type: 'vxlan', name: 'VXLAN (UDP 4789)', failedSince: ago(12) },
    { type: 'udp', name: 'UDP 8285' },
  ],
};

const peer = (ways: PeerStatus['ways']): PeerStatus => ({ ...healthyPeer, ...(ways && { ways }) });

test('says why no better way is used, the next better one first', () => {
  const why =
    'no answer over VXLAN (UDP 4789) for 12 s; the direct route is not possible: it is behind the router 192.168.65.1';
  assert.equal(waysReason(peer({ ipv4: overUdp }), now), why);
  assert.equal(waysText(peer({ ipv4: overUdp }), now), `UDP 8285 for 9 s: ${why}`);
  const untried = { ...overUdp, others: [{ type: 'vxlan' as const, name: 'VXLAN (UDP 4789)' }] };
  assert.equal(waysReason(peer({ ipv4: untried }), now), 'VXLAN (UDP 4789) is not tried yet');
});

test('of the best way there is nothing to explain, whatever became of the others', () => {
  assert.equal(waysReason(peer({ ipv4: direct }), now), undefined);
  assert.equal(waysText(peer({ ipv4: direct }), now), 'the direct route for 50 s');
  assert.equal(waysText(peer(undefined), now), undefined);
});

test('names the families where there are two', () => {
  const text = waysText(peer({ ipv4: direct, ipv6: overUdp }), now);
  assert.match(text ?? '', /^IPv4 over the direct route for 50 s; IPv6 over UDP 8285 for 9 s: no answer/);
});

test('a peer that does not answer over any way is not called unreachable', () => {
  const silent = { ...direct, silentSince: ago(30) };
  assert.equal(waysReason(peer({ ipv4: silent }), now), 'no answer over any way for 30 s');
});

test('a peer that leaves no choice is marked beside others', () => {
  const document = status();
  const auto = { ...document, backend: { type: 'auto', overlayMtu: 1450, mtuParts: [], devices: [] } };
  assert.equal(withoutChoice(peer(undefined), auto), 'its lease names no other way');
  assert.equal(withoutChoice(peer(undefined), document), undefined);
  assert.equal(withoutChoice(peer({ ipv4: direct }), auto), undefined);
});
