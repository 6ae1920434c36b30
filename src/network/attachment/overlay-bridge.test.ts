import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { Prefix } from '../../base/prefix.ts';
import { FAKE_OVERLAY } from '../../testing/network/fake-attachments.ts';
import { formerAddressWarnings, planOverlayBridge } from './overlay-bridge.ts';

const held = (...ips: string[]) =>
  ips.map((ip, at) => ({ ip: Ip.parse(ip), mac: Mac.fromKey(at + 2), container: `c${at}`, engine: 'cni' }));

test('the bridge has the first address of each leased subnet, and no IPv6 where none is leased', () => {
  const dual = {
    ...FAKE_OVERLAY,
    subnets: { ...FAKE_OVERLAY.subnets, ipv6: Prefix.parse('fd00:3:4::/64') },
    gateways: { ...FAKE_OVERLAY.gateways, ipv6: Ip.parse('fd00:3:4::1') },
  };
  const textOf = (network: typeof FAKE_OVERLAY) => {
    const { addresses, sysctls } = planOverlayBridge(network, [], 'host-1');
    const ipv6 = sysctls.find(({ path }) => path.endsWith('disable_ipv6'))?.value;
    return [...addresses.map(({ address: { ip, length } }) => `${ip}/${length}`), ipv6];
  };
  assert.deepEqual(textOf(FAKE_OVERLAY), ['10.3.4.1/24', '1']);
  assert.deepEqual(textOf(dual), ['10.3.4.1/24', 'fd00:3:4::1/64', '0']);
});

test('the bridge of a host has the same MAC address on each start, and no two hosts have one', () => {
  const macOf = (hostId: string) => {
    const [link] = planOverlayBridge(FAKE_OVERLAY, [], hostId).links;
    return link !== undefined && 'mac' in link ? `${link.mac}` : undefined;
  };
  assert.equal(macOf('host-1'), macOf('host-1'));
  assert.notEqual(macOf('host-1'), macOf('host-2'));
});

test('containers with addresses of a former subnet are named, and others are not', () => {
  assert.deepEqual(formerAddressWarnings(held('10.3.4.2'), FAKE_OVERLAY.subnets), []);
  const [warning, ...more] = formerAddressWarnings(held('10.3.4.2', '10.3.9.7'), FAKE_OVERLAY.subnets);
  assert.deepEqual(more, []);
  assert.match(warning?.text ?? '', /^c1 \(10\.3\.9\.7\) cannot .* 10\.3\.4\.0\/24$/);
});
