import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bridgeOf, linkOf, memberOf } from '../../../test/support/look-facts.ts';
import { judgeMtus } from './mtu.ts';

function judge(inner: number, outer: number, ofBridge: number, overlayMtu = 1450) {
  const bridge = bridgeOf('docker0', 7, ['10.3.1.1/24']);
  const home = { ...bridge, link: { ...bridge.link, mtu: ofBridge } };
  const port = linkOf('veth1', 8, { master: 7, mtu: outer });
  const member = memberOf({ name: 'c1', outer: port, inner: { mtu: inner }, home });
  return judgeMtus({ bridges: [home], members: [member], overlayMtu });
}

const shown = (...mtus: Parameters<typeof judge>) =>
  judge(...mtus).map(({ code, severity, fix }) => [
    severity,
    code,
    fix?.map(words => words.slice(-3).join(' ')),
  ]);

test('the same everywhere loses nothing', () => {
  assert.deepEqual(shown(1450, 1450, 1450), []);
});

test('a bridge that takes less than its containers refuses what comes from other hosts', () => {
  assert.deepEqual(shown(1450, 1450, 1400), [['warning', 'BRIDGE_MTU', ['docker0 mtu 1450']]]);
  assert.deepEqual(shown(1400, 1450, 1400), []);
});

test('a container that sends more than its port takes', () => {
  assert.deepEqual(shown(9000, 1450, 1450), [['error', 'CONTAINER_MTU', ['eth0 mtu 1450']]]);
});

test('a port that takes less than both', () => {
  assert.deepEqual(shown(1450, 1200, 1450), [['error', 'CONTAINER_MTU', ['veth1 mtu 1450']]]);
});

test('a container or a port that takes less than the bridge sends', () => {
  assert.deepEqual(shown(1000, 1450, 1450), [['error', 'CONTAINER_MTU', ['eth0 mtu 1450']]]);
  assert.deepEqual(shown(1200, 1200, 1450), [
    ['error', 'CONTAINER_MTU', ['veth1 mtu 1450', 'eth0 mtu 1450']],
  ]);
});

test('a bridge larger than the tunnel is a remark', () => {
  assert.deepEqual(shown(1500, 1500, 1500), [['info', 'BRIDGE_MTU', undefined]]);
});
