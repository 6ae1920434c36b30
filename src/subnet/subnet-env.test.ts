import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { configOf, DUAL, IPV4 } from '../../test/support/registry.ts';
import { formatInterfaceAddress } from '../base/prefix.ts';
import { fc } from '../testing/properties.ts';
import { parseLeaseKey } from './lease/key.ts';
import { formatSubnet } from './lease/lease.ts';
import { formatSubnetEnv, parseSubnetEnv } from './subnet-env.ts';

const IPV6 = configOf({ EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fd00:5::/48' });

describe('the subnet file is written as flannel writes it', () => {
  for (const [name, config, key, text] of [
    ['IPv4', IPV4, '10.5.34.0-24', 'FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.34.1/24\n'],
    [
      'both families',
      DUAL,
      '10.5.34.0-24&fd00:5:0:22::-64',
      'FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.34.1/24\nFLANNEL_IPV6_NETWORK=fd00:5::/48\nFLANNEL_IPV6_SUBNET=fd00:5:0:22::1/64\n',
    ],
    [
      'IPv6',
      IPV6,
      '0.0.0.0-0&fd00:5:0:22::-64',
      'FLANNEL_IPV6_NETWORK=fd00:5::/48\nFLANNEL_IPV6_SUBNET=fd00:5:0:22::1/64\n',
    ],
  ] as const) {
    test(name, () => {
      const subnet = parseLeaseKey(key);
      const written = formatSubnetEnv({ config, subnet, mtu: 1450, masquerade: true });
      assert.equal(written, `${text}FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n`);
      const read = parseSubnetEnv(written);
      assert.equal(formatSubnet(read.subnet), formatSubnet(subnet));
      assert.deepEqual([read.mtu, read.masquerade], [1450, true]);
      assert.match(
        formatSubnetEnv({ config, subnet, mtu: 8950, masquerade: false }),
        /=8950\nFLANNEL_IPMASQ=false\n$/,
      );
    });
  }
});

describe('the subnet file is read leniently', () => {
  for (const [name, text, subnet, network] of [
    ['nothing', '', '', ''],
    [
      'quotes and export',
      `export FLANNEL_SUBNET="10.5.34.1/24"\nFLANNEL_NETWORK='10.5.0.0/16'`,
      '10.5.34.0/24',
      '10.5.0.0/16',
    ],
    ['comments and blanks', '# old\n\n  FLANNEL_SUBNET = 10.5.34.1/24  # ours\r\n', '10.5.34.0/24', ''],
    ['several networks', 'FLANNEL_NETWORK=nonsense,10.5.0.0/16,10.6.0.0/16', '', '10.5.0.0/16'],
    [
      'the last of several lines',
      'FLANNEL_SUBNET=10.5.1.1/24\nFLANNEL_SUBNET=10.5.2.1/24',
      '10.5.2.0/24',
      '',
    ],
    ['a wrong family', 'FLANNEL_SUBNET=fd00::1/64\nFLANNEL_IPV6_SUBNET=10.5.1.1/24', '', ''],
    [
      'what does not parse',
      'FLANNEL_SUBNET=10.5.1/24\nFLANNEL_NETWORK\n=\nFLANNEL_IPV6_SUBNET=fd00::1/64',
      'fd00::/64',
      '',
    ],
  ] as const) {
    test(name, () => {
      const former = parseSubnetEnv(text);
      assert.equal(formatSubnet(former.subnet), subnet);
      assert.equal(formatSubnet(former.network), network);
    });
  }

  test('an MTU that no link has, and a flag that is neither, are not there', () => {
    for (const value of ['', 'big', '67', '1450.5', '-1']) {
      assert.equal(parseSubnetEnv(`FLANNEL_MTU=${value}`).mtu, undefined, value);
    }
    assert.equal(parseSubnetEnv('FLANNEL_IPMASQ=yes').masquerade, undefined);
    assert.equal(parseSubnetEnv('FLANNEL_IPMASQ=false').masquerade, false);
  });

  test('the gateway is the address that is written', () => {
    const { ipv4 } = parseSubnetEnv('FLANNEL_SUBNET=10.5.34.7/24').gateway;
    assert.equal(ipv4 && formatInterfaceAddress(ipv4), '10.5.34.7/24');
  });

  test('any text', () => {
    const nearly = fc
      .array(fc.tuple(fc.constantFrom('FLANNEL_SUBNET', 'FLANNEL_NETWORK', 'export X'), fc.string()))
      .map(lines => lines.map(([name, value]) => `${name}=${value}`).join('\n'));
    fc.assert(
      fc.property(fc.oneof(fc.string(), nearly), text => {
        const { subnet } = parseSubnetEnv(text);
        assert.ok(subnet.ipv4 === undefined || subnet.ipv4.family === 'ipv4');
      }),
    );
  });
});
