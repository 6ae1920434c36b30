import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linkOf, memberOf } from '../../../test/support/look-facts.ts';
import { Prefix } from '../../base/prefix.ts';
import { type DockerLinkFacts, judgeDockerLinks } from './docker-link.ts';

const outer = linkOf('veth1', 9, { master: 7, info: { kind: 'veth' }, netnsId: 1 });
const { container } = memberOf({ name: 'c1', outer });
const listed = (name: string, IPAddress: string, MacAddress: string) => ({
  Id: '0123456789abcdef',
  Names: [`/${name}`],
  NetworkSettings: { Networks: { bridge: { IPAddress, MacAddress, GlobalIPv6Address: '' } } },
});
const HEALTHY: DockerLinkFacts = {
  listed: [listed('c1', '10.3.1.2', '02:42:00:00:00:01')],
  bridged: ['bridge'],
  links: [outer],
  containers: [container],
  held: ['10.3.1.2'],
  subnets: [Prefix.parse('10.3.1.0/24')],
};
const found = (changes: Partial<DockerLinkFacts>) =>
  judgeDockerLinks({ ...HEALTHY, ...changes }).map(({ code, remedy }) => `${code} ${remedy}`);

test('a container whose link somebody has deleted is named by what Docker knows of it', () => {
  assert.deepEqual(found({}), []);
  const uplink = linkOf('eth0', 3, { info: { kind: 'veth' }, netnsId: 0 });
  const gone = { links: [uplink], containers: [], held: [] };
  assert.deepEqual(found(gone), ['CONTAINER_NO_NETWORK docker restart c1']);
  assert.deepEqual(found({ ...gone, listed: [listed('c1', '172.18.0.2', '')] }), [], 'not of the overlay');
  assert.deepEqual(found({ ...gone, listed: [listed('c1', '', '')] }), [], 'not started yet');
  assert.deepEqual(found({ ...gone, bridged: [] }), [], 'macvlan has no pair');
});

test('what has another address than Docker knows, or cannot be entered, has a link', () => {
  const mac = `${container.allLinks[0]?.mac}`;
  assert.deepEqual(found({ held: [], listed: [listed('c1', '10.3.1.2', mac)] }), []);
  assert.deepEqual(found({ containers: [], held: [] }), []);
});
