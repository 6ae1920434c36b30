import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HostGuard } from './host-guard.ts';

const PREFIX = '/coreos.com/network';
const ME = 'host-a';
const bytes = (text: string) => new TextEncoder().encode(text);
const lease = (owner?: string, publicIp = '192.168.65.3') =>
  bytes(
    JSON.stringify({
      PublicIP: publicIp,
      PublicIPv6: null,
      ...(owner === undefined ? {} : { TulleHost: owner }),
    }),
  );
const held = (value: Uint8Array) => ({ value, lease: 7n });
const reserved = (value: Uint8Array) => ({ value, lease: 0n });

const CASES = [
  { name: 'a new lease in its own name', next: lease(ME), allowed: true },
  {
    name: 'its own lease, changed',
    current: held(lease(ME)),
    next: lease(ME, '192.168.65.9'),
    allowed: true,
  },
  { name: 'its own lease, deleted', current: held(lease(ME)), allowed: true },
  { name: 'a new lease in the name of another', next: lease('host-b'), allowed: false },
  { name: 'a new lease in nobody’s name', next: lease(), allowed: false },
  { name: 'its own lease given to another', current: held(lease(ME)), next: lease('host-b'), allowed: false },
  {
    name: 'the lease of another, taken over',
    current: held(lease('host-b')),
    next: lease(ME),
    allowed: false,
  },
  { name: 'the lease of another, deleted', current: held(lease('host-b')), allowed: false },
  {
    name: 'a lease that flannel wrote, even from its address',
    current: held(lease()),
    next: lease(ME),
    allowed: false,
  },
  { name: 'a subnet reserved for its address', current: reserved(lease()), next: lease(ME), allowed: true },
  {
    name: 'a subnet reserved for another address',
    current: reserved(lease(undefined, '192.168.65.4')),
    next: lease(ME),
    allowed: false,
  },
  { name: 'a reservation, deleted', current: reserved(lease()), allowed: false },
  { name: 'something that is no lease', current: held(bytes('{')), next: lease(ME), allowed: false },
  { name: 'no lease in its place', current: held(lease(ME)), next: bytes('{'), allowed: false },
] as const;

for (const { name, allowed, ...write } of CASES) {
  test(`${name}: ${allowed ? 'allowed' : 'refused'}`, () => {
    const rest = { current: undefined, next: undefined, ...write };
    const key = bytes(`${PREFIX}/subnets/10.5.34.0-24`);
    assert.equal(new HostGuard(PREFIX).allows({ name: ME, address: '192.168.65.3', key, ...rest }), allowed);
  });
}

test('nothing outside the subnets is a host’s to write', () => {
  const guard = new HostGuard(PREFIX);
  for (const key of [
    '/coreos.com/network/config',
    '/coreos.com/network/subnets',
    '/other/subnets/10.5.34.0-24',
    '',
  ]) {
    const write = { name: ME, address: '192.168.65.3', key: bytes(key), current: undefined, next: lease(ME) };
    assert.equal(guard.allows(write), false, key);
  }
});
