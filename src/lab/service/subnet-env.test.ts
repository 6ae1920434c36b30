import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseHostSubnet } from './subnet-env.ts';

const TEXT = `FLANNEL_NETWORK=188.172.0.0/16
FLANNEL_SUBNET=188.172.50.1/24
FLANNEL_MTU=1450
FLANNEL_IPMASQ=true
`;

describe('parseSubnetEnv', () => {
  test('reads the gateway and the block it is in', () => {
    const { gateway, subnet, network, mtu, masquerade } = parseHostSubnet(TEXT);
    assert.equal(
      `${gateway.ipv4?.ip}/${gateway.ipv4?.length} ${subnet.ipv4} ${network.ipv4}`,
      '188.172.50.1/24 188.172.50.0/24 188.172.0.0/16',
    );
    assert.deepEqual({ mtu, masquerade }, { mtu: 1450, masquerade: true });
    assert.equal(parseHostSubnet(TEXT.replace('true', 'false')).masquerade, false);
  });

  test('reads either family, and refuses one that is named by half', () => {
    const ipv6 = 'FLANNEL_IPV6_NETWORK=fd00:5::/48\nFLANNEL_IPV6_SUBNET=fd00:5:0:22::1/64\n';
    const only = parseHostSubnet(`${ipv6}FLANNEL_MTU=1430\nFLANNEL_IPMASQ=true\n`);
    assert.deepEqual(
      [only.gateway.ipv4, `${only.gateway.ipv6?.ip}`, `${only.subnet.ipv6}`],
      [undefined, 'fd00:5:0:22::1', 'fd00:5:0:22::/64'],
    );
    assert.equal(
      `${parseHostSubnet(TEXT + ipv6).subnet.ipv4} ${parseHostSubnet(TEXT + ipv6).subnet.ipv6}`,
      '188.172.50.0/24 fd00:5:0:22::/64',
    );
    for (const line of ipv6.trim().split('\n')) {
      assert.throws(() => parseHostSubnet(`${TEXT}${line}\n`), /FLANNEL_IPV6_(NETWORK|SUBNET) is missing/);
    }
  });

  // H5
  test('H5: reads what people and shells have made of the file', () => {
    const edited = `\uFEFF# kept by hand\r\n${TEXT.split('\n')
      .filter(line => line !== '')
      .map(line => `export ${line.replace(/=(.*)/, '="$1"')}  # ours`)
      .reverse()
      .join('\r\n')}\r\n`;
    assert.deepEqual(parseHostSubnet(edited), parseHostSubnet(TEXT));
  });

  test('refuses a file with a variable missing or out of shape', () => {
    for (const name of ['NETWORK', 'SUBNET', 'MTU', 'IPMASQ']) {
      assert.throws(
        () => parseHostSubnet(TEXT.replace(`FLANNEL_${name}=`, 'OTHER=')),
        { name: 'ParseError' },
        name,
      );
    }
    for (const mtu of ['big', '', '-1', '67', '1450.5']) {
      assert.throws(() => parseHostSubnet(TEXT.replace('1450', mtu)), { name: 'ParseError' }, mtu);
    }
    assert.equal(parseHostSubnet(TEXT.replace('1450', '68')).mtu, 68);
  });
});
