import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from 'valibot';
import { ContainerRecord, HostRecord } from './record.ts';

const container = { name: 'a1', ip: { ipv4: '10.3.5.2' }, netns: '/run/tulle/netns/a1' };
const host = {
  name: 'docker1',
  address: { ipv4: '192.168.65.1' },
  links: [{ name: 'eth0', segment: 'underlay', addresses: ['192.168.65.1'] }],
  anchor: { pid: 7, started: 1 },
  runtime: 'namespace',
  subnet: { ipv4: '10.3.5.0/24', ipv6: 'fd00:5::/64' },
  containers: [container],
};

test('a record holds only what may stand in a path and on a command line', () => {
  assert.ok(v.safeParse(HostRecord, host).success);
  for (const wrong of [
    { netns: '/etc/passwd' },
    { netns: '/run/../etc/passwd' },
    { name: '--help' },
    { name: 'a/b' },
    { ip: { ipv4: '10.3.5' } },
    { ip: {} },
    { ip: { ipx: '10.3.5.2' } },
  ]) {
    assert.equal(
      v.safeParse(ContainerRecord, { ...container, ...wrong }).success,
      false,
      JSON.stringify(wrong),
    );
  }
  for (const wrong of [
    { anchor: { pid: 0, started: 1 } },
    { subnet: { ipv6: '$(id)' } },
    { address: { ipv4: 'docker1' } },
    { links: [{ name: 'a b', segment: 'underlay', addresses: [] }] },
  ]) {
    assert.equal(v.safeParse(HostRecord, { ...host, ...wrong }).success, false, JSON.stringify(wrong));
  }
});
