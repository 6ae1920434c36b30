import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bridgeOf, linkOf, memberOf } from '../../../test/support/look-facts.ts';
import { Prefix, parseInterfaceAddress } from '../../base/prefix.ts';
import { judgeBridges } from './bridge.ts';

const overlay = {
  source: 'agent',
  networks: [Prefix.parse('10.3.0.0/16'), Prefix.parse('fd00:3::/48')],
  subnets: [Prefix.parse('10.3.1.0/24'), Prefix.parse('fd00:3:0:1::/64')],
  gateways: [parseInterfaceAddress('10.3.1.1/24'), parseInterfaceAddress('fd00:3:0:1::1/64')],
} as const;

/** What is missing on a bridge with these addresses, and a container with those. */
function missing(ofBridge: readonly string[], ofContainer: readonly string[]) {
  const home = bridgeOf('docker0', 7, ofBridge);
  const outer = linkOf('veth1', 8, { master: 7 });
  const member = memberOf({ name: 'c1', outer, home, addresses: ofContainer });
  const causes = judgeBridges({ overlay, bridges: [home], members: [member], sysctls: new Map() });
  assert.ok(causes.every(({ code }) => code === 'BRIDGE_NO_ADDRESS'));
  return causes.flatMap(({ fix = [] }) => fix.map(words => words[3]));
}

test('a bridge needs an address of each family that its containers have', () => {
  const both = ['10.3.1.1/24', 'fd00:3:0:1::1/64'];
  const inside = ['10.3.1.2/24', 'fd00:3:0:1::2/64'];
  assert.deepEqual(missing(both, inside), []);
  // An IPv6 address goes when its link is set down, the IPv4 one stays.
  assert.deepEqual(missing(both.slice(0, 1), inside), ['fd00:3:0:1::1/64']);
  assert.deepEqual(missing(both.slice(0, 1), inside.slice(0, 1)), [], 'IPv4 alone is meant so');
  assert.deepEqual(missing([], inside), both);
});
