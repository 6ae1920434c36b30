/** The kernel of a test machine may filter no VLANs; what bridge(8) prints is that of one that does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bridgeOf, linkOf, memberOf } from '../../../test/support/look-facts.ts';
import { judgeVlans, readVlans } from './bridge-vlan.ts';

const bridge = bridgeOf('docker0', 7, ['10.3.1.1/24']);
const member = memberOf({ name: 'c1', outer: linkOf('veth1', 8, { master: 7 }), home: bridge });

const entry = (name: string, vlan: number, ...flags: string[]) => ({
  ifname: name,
  vlans: [{ vlan, flags }],
});
const judge = (...entries: object[]) => judgeVlans(bridge, [member], readVlans(JSON.stringify(entries)));

test('a port in the VLAN of its bridge passes', () => {
  const all = ['PVID', 'Egress Untagged'];
  assert.deepEqual(judge(entry('docker0', 1, ...all), entry('veth1', 1, ...all)), []);
});

test('a port in another VLAN, in none, or one whose frames keep their tag does not', () => {
  const own = entry('docker0', 1, 'PVID', 'Egress Untagged');
  for (const port of [
    entry('veth1', 30, 'PVID', 'Egress Untagged'),
    entry('veth1', 1, 'PVID'),
    { ifname: 'veth1' },
  ]) {
    const [cause, ...more] = judge(own, port);
    assert.deepEqual([cause?.code, cause?.severity, more], ['BRIDGE_VLAN', 'error', []]);
    assert.match(
      cause?.evidence.join('\n') ?? '',
      /bridge vlan show dev veth1: (30 PVID untagged|1 PVID|no VLAN)$/,
    );
  }
});

test('a range is read as its VLANs', () => {
  const table = readVlans('[{"ifname":"veth1","vlans":[{"vlan":10,"vlanEnd":12}]}]');
  assert.deepEqual(
    table.get('veth1')?.map(({ vlan }) => vlan),
    [10, 11, 12],
  );
});
