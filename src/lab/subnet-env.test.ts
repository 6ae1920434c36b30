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
      `${gateway.ip}/${gateway.length} ${subnet} ${network}`,
      '188.172.50.1/24 188.172.50.0/24 188.172.0.0/16',
    );
    assert.deepEqual({ mtu, masquerade }, { mtu: 1450, masquerade: true });
    assert.equal(parseHostSubnet(TEXT.replace('true', 'false')).masquerade, false);
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
