import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { byFamily } from '../base/per-family.ts';
import { parseLeaseKey } from '../subnet/lease/key.ts';
import type { Lease, LeaseAttributes } from '../subnet/lease/lease.ts';
import { planPeer } from './peer-plan.ts';

const BOTH = byFamily(Ip.parse('192.0.2.4'), Ip.parse('2001:db8::4'));
const lease = (attributes: Partial<LeaseAttributes>, key = '10.5.4.0-24&fd00:5:0:4::-64'): Lease => ({
  key,
  subnet: parseLeaseKey(key),
  attributes: { publicIp: BOTH, backendType: 'host-gw', ...attributes },
  storeLease: 1n,
  createRevision: 1n,
  modRevision: 1n,
});

/** Over what this host has, as `eth0 10.5.4.0/24 at 192.0.2.4`. */
const plan = (of: Lease, own = { ipv4: 'eth0', ipv6: 'eth1' }) => {
  const { paths, problems } = planPeer(of, 'host-gw', own, ({ subnet, underlayIp, data, dataName }, link) =>
    data === 'bad' ? `its ${dataName} is bad` : { link, subnet, underlayIp, entries: [] },
  );
  return [...paths.map(({ link, subnet, underlayIp }) => `${link} ${subnet} at ${underlayIp}`), ...problems];
};

test('a path is made for each family that both hosts have', () => {
  const ipv4 = 'eth0 10.5.4.0/24 at 192.0.2.4';
  const ipv6 = 'eth1 fd00:5:0:4::/64 at 2001:db8::4';
  assert.deepEqual(plan(lease({})), [ipv4, ipv6]);
  assert.deepEqual(plan(lease({}, '10.5.4.0-24')), [ipv4]);
  assert.deepEqual(plan(lease({ publicIp: byFamily(Ip.parse('192.0.2.4')) })), [
    ipv4,
    'it has no public IPv6 address',
  ]);
  assert.deepEqual(plan(lease({ backendData: { ipv6: 'bad' } })), [ipv4, 'its BackendV6Data is bad']);
});

test('a host with another backend has no path', () => {
  assert.deepEqual(plan(lease({ backendType: 'vxlan' })), [
    'it is published with the backend vxlan, and this network uses host-gw',
  ]);
  const { backendType: _, ...udp } = lease({}).attributes;
  assert.deepEqual(plan({ ...lease({}), attributes: udp }), [
    'it is published with no backend type, as udp and alloc have it, and this network uses host-gw',
  ]);
});
