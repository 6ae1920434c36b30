import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bridgeOf, linkOf, memberOf } from '../../../test/support/look-facts.ts';
import { Ip } from '../../base/ip.ts';
import { judgeNarrow, tooNarrow } from './container-netmask.ts';

const home = bridgeOf('docker0', 7, ['10.3.1.1/24']);
const memberWith = (address: string) =>
  memberOf({ name: 'c1', outer: linkOf('veth1', 8, { master: 7 }), home, addresses: [address] });

test('an address that leaves its gateway out is the cause of a missing default route', () => {
  const cause = tooNarrow(memberWith('10.3.1.2/32'), 'ipv4');
  assert.deepEqual(
    [cause?.code, cause?.fix?.map(command => command.slice(2).join(' '))],
    [
      'CONTAINER_WRONG_NETMASK',
      [
        'ip addr del 10.3.1.2/32 dev eth0',
        'ip addr add 10.3.1.2/24 dev eth0',
        'ip route replace default via 10.3.1.1 dev eth0',
      ],
    ],
  );
  assert.equal(tooNarrow(memberWith('10.3.1.2/24'), 'ipv4'), undefined);
  assert.equal(tooNarrow(memberWith('10.3.1.2/30'), 'ipv4'), undefined, 'the gateway is in it');
});

test('a small block is wrong where another station is its first or last address', () => {
  const codes = (address: string) =>
    judgeNarrow(memberWith(address), 'ipv4', [Ip.parse('10.3.1.1'), Ip.parse('10.3.1.3')]).length;
  assert.deepEqual(['10.3.1.2/24', '10.3.1.2/29', '10.3.1.2/32', '10.3.1.2/30'].map(codes), [0, 0, 0, 1]);
});
