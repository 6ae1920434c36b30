import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byFamily, mapFamilies } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import { parseNetworkConfig } from './config.ts';
import { formatNetworkConfig } from './format-config.ts';

const IPV4 = Prefix.parse('10.5.0.0/16');
const IPV6 = Prefix.parse('fd00:5::/48');

test('says what flannel does not assume, and no more', () => {
  const cases = [
    [byFamily(IPV4), '{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}}'],
    [
      byFamily(IPV6),
      '{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00:5::/48","Backend":{"Type":"vxlan"}}',
    ],
    [
      byFamily(IPV4, IPV6),
      '{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:5::/48","Backend":{"Type":"vxlan"}}',
    ],
  ] as const;
  for (const [networks, text] of cases) {
    assert.equal(formatNetworkConfig(networks, { Type: 'vxlan' }), text);
    const { ipv4, ipv6 } = parseNetworkConfig(text).config;
    assert.deepEqual(
      mapFamilies({ ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) }, ({ network }) => `${network}`),
      mapFamilies(networks, String),
    );
  }
});
