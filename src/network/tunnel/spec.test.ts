import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TunnelRequest } from '../../api/tunnels.ts';
import { fc } from '../../testing/properties.ts';
import { isTunnel, readTunnel } from './spec.ts';

const REQUEST: TunnelRequest = {
  name: 'vxlan1',
  vni: 1,
  remote: '172.31.0.107',
  dev: 'eth0',
  port: 4789,
  addresses: ['10.0.0.106/24'],
  learning: true,
};

/** `path` of every problem; empty for a tunnel. */
function problems(change: Partial<Record<keyof TunnelRequest, unknown>>): string[] {
  const given = Object.fromEntries(
    Object.entries({ ...REQUEST, ...change }).filter(([, value]) => value !== undefined),
  );
  const read = readTunnel(given as TunnelRequest);
  return isTunnel(read) ? [] : read.map(({ path, message }) => `${path}: ${message}`);
}

test('the tunnel of the walkthrough is one', () => {
  const read = readTunnel(REQUEST);
  assert.ok(isTunnel(read));
  assert.deepEqual(
    {
      ...read,
      remote: `${read.remote}`,
      addresses: read.addresses.map(({ ip, length }) => `${ip}/${length}`),
    },
    REQUEST,
  );
});

for (const [what, change, ...expected] of [
  ['a VNI of 24 bits', { vni: 16_777_215 }],
  ['the first one', { vni: 1 }],
  ['one more', { vni: 16_777_216 }, 'vni: want a whole number from 1 to 16777215'],
  ['none', { vni: 0 }, 'vni: want a whole number from 1 to 16777215'],
  ['a part of one', { vni: 1.5 }, 'vni: want a whole number from 1 to 16777215'],
  ['a port too large', { port: 65_536 }, 'port: want a whole number from 1 to 65535'],
  ['a name too long', { name: 'a234567890123456' }, 'name: want 1 to 15 letters, digits or any of _ . @ : -'],
  ['a name that is a path', { name: '../x' }, 'name: want 1 to 15 letters, digits or any of _ . @ : -'],
  ['a name of the overlay', { name: 'flannel.7' }, 'name: is reserved for devices of networks'],
  ['nobody', { remote: undefined }, 'remote: is missing'],
  ['two ends', { group: '239.1.1.1' }, 'group: a tunnel has a remote or a group, not both'],
  ['a group as the remote', { remote: '239.1.1.1' }, 'remote: is a multicast group'],
  ['this host as the remote', { remote: '127.0.0.1' }, 'remote: is no address of another host'],
  ['everybody', { remote: '255.255.255.255' }, 'remote: is no address of another host'],
  ['a name as the remote', { remote: 'vm2' }, 'remote: is no IP address'],
  ['a group', { remote: undefined, group: 'ff05::100' }],
  ['a group without a link', { remote: undefined, group: '239.1.1.1', dev: undefined }, 'dev: is missing'],
  ['a host as a group', { remote: undefined, group: '10.9.9.9' }, 'group: is no multicast group'],
  ['a link-local remote without a link', { remote: 'fe80::1', dev: undefined }, 'dev: is missing'],
  ['ends of two families', { local: 'fd31::106' }, 'local: is of another family than 172.31.0.107'],
  [
    'an address without length',
    { addresses: ['10.0.0.106'] },
    'addresses: is no address with a prefix length',
  ],
  [
    'the address of a network',
    { addresses: ['10.0.0.0/24'] },
    'addresses: is not one host of 10.0.0.0/24: it is the first or the last address',
  ],
  ['a pair of two', { addresses: ['10.0.0.0/31', '10.0.1.1/32', 'fd00::/64'] }],
  ['the same address twice', { addresses: ['10.0.0.1/24', '10.0.0.1/25'] }, 'addresses: is given twice'],
  [
    'a tunnel into itself',
    { addresses: ['172.31.0.9/16'] },
    'addresses: 172.31.0.107 is in 172.31.0.0/16, so that the tunnel would lead into itself',
  ],
  ['a bridge', { attach: 'br0', addresses: [] }],
  ['a port with an address', { attach: 'br0' }, 'addresses: a port of a bridge has none'],
  [
    'an MTU that IPv6 cannot use',
    { mtu: 1279, addresses: ['fd00::1/64'] },
    'mtu: want a whole number from 1280 to 65535',
  ],
  ['a small MTU', { mtu: 68 }],
  ['no time to live', { ttl: 0 }, 'ttl: want a whole number from 1 to 255'],
  [
    'all at once',
    { vni: 0, port: 0, name: '' },
    'name: want 1 to 15 letters, digits or any of _ . @ : -',
    'vni: want a whole number from 1 to 16777215',
    'port: want a whole number from 1 to 65535',
  ],
] as const) {
  test(`${what}: ${expected.length === 0 ? 'accepted' : 'refused'}`, () => {
    assert.deepEqual(problems(change), expected);
  });
}

test('whatever is asked for, it is a tunnel within the bounds or a list of reasons', () => {
  const word = fc.oneof(
    fc.string({ maxLength: 128 }),
    fc.constantFrom('10.0.0.1', '10.0.0.1/24', 'fe80::1', '239.0.0.1', 'eth0'),
  );
  const number = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(Number.NaN, -1, 0, 2 ** 24, 4789));
  const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
  const requests = fc.record({
    name: word,
    vni: number,
    remote: optional(word),
    group: optional(word),
    dev: optional(word),
    local: optional(word),
    port: number,
    addresses: fc.array(word, { maxLength: 3 }),
    attach: optional(word),
    learning: fc.boolean(),
    mtu: optional(number),
    ttl: optional(number),
  });
  fc.assert(
    fc.property(requests, request => {
      const read = readTunnel(request as TunnelRequest);
      if (!isTunnel(read))
        return assert.ok(
          read.length > 0 && read.every(({ path, message }) => path in request && message !== ''),
        );
      assert.ok(Number.isInteger(read.vni) && read.vni >= 1 && read.vni < 2 ** 24);
      assert.match(read.name, /^[\w.@:-]{1,15}$/);
      assert.ok(!read.remote.isMulticast || read.dev !== undefined);
    }),
  );
});
