import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawVni } from './new-network.ts';

test('A1: the VNI of a new network is one that nothing on this host has', () => {
  const links = [
    { name: 'wolke', info: { kind: 'vxlan', id: 2 } },
    { name: 'flannel.3', info: { kind: 'other', name: 'bridge' } },
    { name: 'flannel-v6.4' },
    { name: 'eth0' },
  ] as const;
  // As if the dice showed 2, 3, 4, 5, and the highest.
  const dice = [0, 1.5 / 9998, 2.5 / 9998, 3.5 / 9998, 0.999_999];
  const random = () => dice.shift() ?? assert.fail('drawn too often');
  assert.equal(drawVni(links, random), 5);
  assert.equal(drawVni(links, random), 9999);
});
