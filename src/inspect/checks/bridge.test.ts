import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bridgeOf, linkOf, memberOf } from '../../../test/support/look-facts.ts';
import { Prefix, parseInterfaceAddress } from '../../base/prefix.ts';
import { judgeBridges } from './bridge.ts';
import { withoutRoute } from './bridge-netmask.ts';

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

test('a prefix length of the bridge that makes a container the last address of its block leaves that out', () => {
  const codes = (ofBridge: string) => {
    const home = bridgeOf('docker0', 7, [ofBridge]);
    const members = [2, 3].map(at =>
      memberOf({
        name: `c${at}`,
        outer: linkOf(`veth${at}`, at + 10, { master: 7 }),
        home,
        addresses: [`10.3.1.${at}/24`],
      }),
    );
    const causes = judgeBridges({ overlay, bridges: [home], members, sysctls: new Map() });
    const without = withoutRoute({ bridges: [home], members }).map(String);
    return [causes.map(({ code, reason }) => `${code} ${reason.split('route to ')[1]}`), without];
  };
  assert.deepEqual(codes('10.3.1.1/24'), [[], []]);
  assert.deepEqual(codes('10.3.1.1/29'), [[], []], 'all are in it');
  assert.deepEqual(codes('10.3.1.1/30'), [['BRIDGE_NETMASK c3 behind it'], ['10.3.1.3']]);
  assert.deepEqual(codes('10.3.1.1/32'), [['BRIDGE_NETMASK c2, c3 behind it'], ['10.3.1.2', '10.3.1.3']]);
});
