import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOf, linkOf } from '../../../test/support/look-facts.ts';
import { containerName } from './container-names.ts';

const link = linkOf('eth0', 2);
const listed = (name: string, MacAddress: string, IPAddress: string) => ({
  Id: name,
  Names: [`/${name}`],
  NetworkSettings: { Networks: { bridge: { MacAddress, IPAddress, GlobalIPv6Address: '' } } },
});
const docker = [
  listed('web', '02:00:00:00:00:02', '10.3.1.2'),
  listed('db', '02:00:00:00:00:03', '10.3.1.3'),
];
const found = (path: string, ip = '10.3.1.2') =>
  containerName({ path, links: [link], addresses: [addressOf(2, `${ip}/24`)] }, docker);

test('a namespace with a name has that one', () => assert.equal(found('/run/netns/c1'), 'c1'));

test('a container of Docker is known by its MAC address, also with the address of another one', () => {
  assert.equal(found('/run/docker/netns/1f2e3d4c5b6a', '10.3.1.3'), 'web');
});

test('or by its address, with another MAC address', () => {
  const links = [linkOf('eth0', 9)];
  const one = { path: '/proc/812/ns/net', links, addresses: [addressOf(9, '10.3.1.3/24')] };
  assert.equal(containerName(one, docker), 'db');
});

test('what nobody knows is named by what leads to it', () => {
  assert.equal(containerName({ path: '/proc/812/ns/net', links: [], addresses: [] }, docker), 'process 812');
  const path = '/run/docker/netns/1f2e3d4c5b6a';
  assert.equal(containerName({ path, links: [], addresses: [] }, []), 'sandbox 1f2e3d4c5b6a');
});
