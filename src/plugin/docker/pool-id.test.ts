import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { fc } from '../../testing/properties.ts';
import { drawToken, formatPoolId, isSamePool, isToken, parsePoolId } from './pool-id.ts';

test('the id of a pool says what it is', () => {
  const pools = [
    { id: 'ipv4 auto 0.67.12.9', pool: { family: 'ipv4', token: Ip.parse('0.67.12.9') } },
    { id: 'ipv6 auto 100::12', pool: { family: 'ipv6', token: Ip.parse('100::12') } },
    { id: 'ipv4 subnet 10.9.0.0/16', pool: { family: 'ipv4', subnet: Prefix.parse('10.9.0.0/16') } },
    {
      id: 'ipv6 subnet fd00:9::/64 blue',
      pool: { family: 'ipv6', subnet: Prefix.parse('fd00:9::/64'), network: 'blue' },
    },
  ] as const;
  for (const { id, pool } of pools) {
    assert.equal(formatPoolId(pool), id);
    assert.deepEqual(parsePoolId(id), pool);
    assert.ok(isSamePool(parsePoolId(id), pool));
  }
});

test('an id that this plugin has not given is refused', () => {
  for (const id of [
    '',
    'ipv4',
    'ipv4 auto 10.0.0.1',
    'ipv6 auto 0.0.0.1',
    'ipv4 subnet fd00::/64',
    'ipv4 subnet 10.9.0.0/16 ',
    'ipv4 auto 0.0.0.1 a b',
  ]) {
    assert.throws(() => parsePoolId(id), { code: 'INVALID_VALUE' }, id);
  }
});

test('no gateway of a pool is the address of a host, or none', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 3, maxLength: 3 }),
      fc.constantFrom('ipv4', 'ipv6'),
      (bytes, family) => {
        const token = drawToken(family, () => bytes);
        assert.ok(isToken(token) && !token.isUnspecified);
        assert.deepEqual(parsePoolId(formatPoolId({ family, token })), { family, token });
      },
    ),
  );
});
