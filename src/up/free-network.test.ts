import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigError, formatProblem } from '../base/errors.ts';
import { Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import type { Address, Route } from '../netlink/route/objects.ts';
import { fc } from '../testing/properties.ts';
import { chooseNetwork, takenRanges } from './free-network.ts';

const taken = (...ranges: string[]) => ranges.map(text => ({ range: Prefix.parse(text), by: text }));

function problemOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.map(formatProblem).join();
  }
  return assert.fail('it was not refused');
}

// A4: the default network held the LAN of the host, and every peer was rejected.
describe('A4: the network of a new cluster is one that this host does not use', () => {
  test('by default the usual one, or the next that nothing touches', () => {
    assert.equal(`${chooseNetwork(undefined, 'ipv4', [])}`, '10.244.0.0/16');
    assert.equal(
      `${chooseNetwork(undefined, 'ipv4', taken('10.244.7.0/24', '172.17.0.0/16'))}`,
      '10.245.0.0/16',
    );
    assert.equal(
      `${chooseNetwork(undefined, 'ipv4', taken('10.0.0.0/8', '172.16.0.0/14'))}`,
      '172.20.0.0/16',
    );
  });

  test('of IPv6 a random one of those for local use (RFC 4193), and another if this host uses that', () => {
    const draws = [Uint8Array.of(1, 2, 3, 4, 5), Uint8Array.of(0xff, 0, 0, 0, 1)];
    const draw = () => draws.shift() ?? Uint8Array.of(9, 9, 9, 9, 9);
    assert.equal(`${chooseNetwork(undefined, 'ipv6', taken('fd01:203:405:7::/64'), draw)}`, 'fdff:0:1::/48');
    const [one, other] = [chooseNetwork(undefined, 'ipv6', []), chooseNetwork(undefined, 'ipv6', [])];
    assert.match(`${one}`, /^fd[0-9a-f:]+::\/48$/);
    assert.notEqual(`${one}`, `${other}`);
    assert.match(
      problemOf(() => chooseNetwork(undefined, 'ipv6', taken('fc00::/7'))),
      /every private IPv6 network is in use/,
    );
  });

  test('one that is asked for and in use is refused, and a free one offered', () => {
    const lan = [{ range: Prefix.parse('10.244.7.0/24'), by: '10.244.7.1/24 on eth0' }];
    assert.equal(
      problemOf(() => chooseNetwork(Prefix.parse('10.244.0.0/16'), 'ipv4', lan)),
      '--network = "10.244.0.0/16": is in use on this host: 10.244.7.1/24 on eth0 (10.245.0.0/16 is free)',
    );
    assert.equal(`${chooseNetwork(Prefix.parse('188.172.0.0/16'), 'ipv4', lan)}`, '188.172.0.0/16');
    const all = taken('10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16');
    assert.match(
      problemOf(() => chooseNetwork(undefined, 'ipv4', all)),
      /every private IPv4 network is in use/,
    );
  });

  test('addresses and routes count, the default route does not', () => {
    const address = { ip: Ip.parse('10.244.7.1'), length: 24, index: 2 } as Address;
    const routes = [
      {},
      { destination: Prefix.parse('10.9.0.0/16') },
      { destination: Prefix.parse('0.0.0.0/0') },
    ];
    assert.deepEqual(
      takenRanges([address], routes as Route[], index => `eth${index}`).map(
        ({ range, by }) => `${range} ${by}`,
      ),
      ['10.244.7.0/24 10.244.7.1/24 on eth2', '10.9.0.0/16 a route to 10.9.0.0/16'],
    );
  });

  test('whatever a host has, the network touches none of it', () => {
    const range = fc
      .tuple(fc.bigInt(0n, (1n << 32n) - 1n), fc.integer({ min: 4, max: 32 }))
      .map(([address, length]) => Prefix.of(Ip.fromBigInt('ipv4', address), length));
    const near = fc
      .tuple(fc.nat(255), fc.integer({ min: 9, max: 30 }))
      .map(([octet, length]) => Prefix.of(Ip.parse(`10.${octet}.3.1`), length));
    fc.assert(
      fc.property(fc.array(fc.oneof(range, near), { maxLength: 40 }), ranges => {
        const used = ranges.map(prefix => ({ range: prefix, by: `${prefix}` }));
        let network: Prefix;
        try {
          network = chooseNetwork(undefined, 'ipv4', used);
        } catch (error) {
          assert.ok(error instanceof ConfigError);
          return;
        }
        assert.ok(!ranges.some(prefix => prefix.overlaps(network)));
      }),
    );
  });
});
