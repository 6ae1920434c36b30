import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { stringify } from 'yaml';
import { ConfigError, type Problem } from '../../base/errors.ts';
import { formatInterfaceAddress, Prefix } from '../../base/prefix.ts';
import { fc } from '../../testing/properties.ts';
import { planTopology } from './plan.ts';
import { parseTopology, readTopology } from './read.ts';
import type { LabTopology } from './topology.ts';

function problemsOf(text: string): readonly Problem[] {
  try {
    planTopology(parseTopology(text), { name: 'x' });
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems;
  }
}

const linesOf = (text: string) =>
  problemsOf(text).map(({ path, value, message, hint }) =>
    [path, JSON.stringify(value), message, hint].filter(part => part !== undefined).join(' | '),
  );

describe('a topology file', () => {
  test('is YAML, and so JSON too; what has nothing under its name has no settings', () => {
    const topology = { segments: { a: { subnet: '10.0.0.0/24' } }, hosts: { vm1: {}, vm2: {} } };
    assert.deepEqual(parseTopology(JSON.stringify(topology)), topology);
    assert.deepEqual(
      parseTopology('segments: {a: {subnet: 10.0.0.0/24}}\nhosts:\n  vm1:\n  vm2:\n'),
      topology,
    );
  });

  test('with members that nothing has, or of the wrong kind, is refused with all of them and what there is', () => {
    const text = `
segments: {a: {subnet: 5, mtu: big}}
hosts:
  vm1: {lnks: [], agent: 3, docker: {confg: {}}, containers: [1], links: [{}], routes: [{to: default}]}
store: {on: vm1, kind: zookeeper}
segmnts: {}
`;
    assert.deepEqual(linesOf(text), [
      'segments.a.subnet | 5 | want a text, or a list of texts',
      'segments.a.mtu | "big" | want a number',
      'hosts.vm1.links[0].segment | is missing',
      'hosts.vm1.routes[0].via | is missing',
      'hosts.vm1.agent | 3 | want true, false, or settings',
      'hosts.vm1.docker.confg | docker has no such member; it has plugin, leased, config, image',
      'hosts.vm1.containers[0] | 1 | want a text',
      'hosts.vm1.lnks | a host has no such member; it has links, routes, forwarding, agent, docker, containers, bridge',
      'store.kind | "zookeeper" | want tulle or etcd',
      'segmnts | a topology has no such member; it has name, segments, hosts, store, network',
    ]);
    assert.deepEqual(linesOf('hosts: [vm1]'), ['hosts | want hosts by name, not a list']);
    assert.deepEqual(linesOf('hosts: {vm1: {extra: 1}}\nstore: {on: vm2}'), [
      'hosts.vm1.extra | a host has no such member; it has links, routes, forwarding, agent, docker, containers, bridge',
      'store.on | "vm2" | there is no host of this name | hosts: vm1',
    ]);
  });

  test('that means nothing is refused with every place, value and hint', () => {
    const text = `
segments:
  a: {subnet: 10.0.0.0/24, mtu: 1400, loss: 101, delay: -1}
  b: {subnet: [10.0.0.0/24, 10.1.0.0/24, fd00::/64], mtu: 1000}
hosts:
  vm1:
    links:
      - {segment: c, address: 10.0.0.1}
      - {segment: a, address: [10.9.0.1, fd00::1, 127.0.0.1], name: eth0, mtu: 1500}
      - {segment: a, address: 10.0.0.5/24, name: eth 0}
    routes: [{to: default, via: 10.7.0.1}, {to: 10.9.0.0/16, via: "fd00::1"}]
    containers: [c1, c1]
    agent: true
  vm2:
    links: [{segment: a, address: 10.0.0.5}]
    containers: {c1: {command: [sh]}}
    docker: {config: {exec-opts: []}}
    bridge: 10.0.0.1/24
`;
    assert.deepEqual(linesOf(text), [
      'segments.a.loss | 101 | want a number from 0 to 100 percent',
      'segments.a.delay | -1 | want a number from 0 to 10000 ms',
      'segments.b.subnet | "10.1.0.0/24" | is the second one of its family | make another segment for it',
      'segments.b.mtu | 1000 | is less than IPv6 needs, 1280',
      'hosts.vm1.links[0].segment | "c" | there is no segment of this name | segments: a, b',
      'hosts.vm1.links[1].mtu | 1500 | is more than its segment carries, 1400',
      'hosts.vm1.links[1].address | "10.9.0.1" | is not in 10.0.0.0/24, the subnet of segment a',
      'hosts.vm1.links[1].address | "fd00::1" | segment a has no IPv6 subnet',
      'hosts.vm1.links[1].address | "127.0.0.1" | is not an address that a link can have',
      'hosts.vm1.links[2].name | "eth 0" | is no name of a link: want 1 to 15 letters, digits, `-`, `_` and `.`',
      'hosts.vm1.links[1] | "eth0" | there is a link of this name already',
      'hosts.vm1.routes[0].via | "10.7.0.1" | is not in the subnet of any link of this host | a gateway is one hop away',
      'hosts.vm1.routes[1].via | "fd00::1" | is not of the family of 10.9.0.0/16',
      'hosts.vm1.containers[1] | "c1" | there is a container of this name already',
      'hosts.vm2.docker.config.exec-opts | [] | every dockerd of a lab has its own | omit it',
      'hosts.vm2.bridge | "10.0.0.1/24" | dockerd makes the bridge | set `bip` in docker.config',
      'hosts.vm2.links[0].address | "10.0.0.5" | host vm1 has it, too',
      'hosts.vm1.agent | an agent needs a store | add `store: {on: HOST}`',
      'hosts.vm1.agent | an agent needs a network | add `network: {Network: 10.5.0.0/16, Backend: {Type: vxlan}}`',
    ]);
  });

  test('that is no YAML is refused with the lines', () => {
    assert.deepEqual(linesOf('hosts: {vm1: {}}\nhosts: {vm2: {}}\nname: !secret x\n'), [
      'line 2, column 1 | Map keys must be unique',
      'line 3, column 7 | Unresolved tag: !secret',
    ]);
    assert.deepEqual(linesOf('['.repeat(5000)), ['file | is nested too deeply']);
    assert.deepEqual(linesOf('a: &a [*a]'), ['file | is nested too deeply']);
    const bomb = Array.from({ length: 9 }, (_, level) => {
      const items = Array(9).fill(level === 0 ? 'x' : `*a${level - 1}`);
      return `a${level}: &a${level} [${items.join(', ')}]`;
    });
    assert.match(linesOf(bomb.join('\n')).join(), /^file \| Excessive alias count/);
    assert.match(linesOf('# '.padEnd(1_000_001, 'x')).join(), /^file \| has 1000001 characters/);
  });

  test('may not take names that JavaScript keeps for itself', () => {
    assert.deepEqual(
      problemsOf('hosts: {constructor: {}, __proto__: {}}').map(({ path }) => path),
      ['hosts.constructor', 'hosts.__proto__'],
    );
  });

  test('names images beside itself', async t => {
    const directory = await mkdtemp(join(tmpdir(), 'tt-topology-'));
    t.after(() => rm(directory, { recursive: true }));
    const file = join(directory, 'lab.yaml');
    await writeFile(file, 'hosts: {vm1: {docker: {image: images/x.tar}}, vm2: {docker: true}}');
    assert.deepEqual(readTopology(file).hosts['vm1']?.docker, { image: join(directory, 'images/x.tar') });
    assert.throws(() => readTopology(join(directory, 'none.yaml')), { code: 'INVALID_VALUE' });
  });
});

/** Valid topologies: segments with a subnet each, and hosts with links into some of them. */
const topologies: fc.Arbitrary<LabTopology> = fc
  .record({
    segments: fc.array(
      fc.record({ mtu: fc.integer({ min: 1280, max: 1500 }), loss: fc.integer({ min: 0, max: 100 }) }),
      { minLength: 1, maxLength: 5 },
    ),
    hosts: fc.array(
      fc.record({
        into: fc.uniqueArray(fc.nat(4), { maxLength: 5 }),
        forwarding: fc.boolean(),
        containers: fc.uniqueArray(fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,11}$/), { maxLength: 3 }),
      }),
      { minLength: 1, maxLength: 6 },
    ),
  })
  .map(({ segments, hosts }) => ({
    segments: Object.fromEntries(
      segments.map((segment, index) => [
        `s${index}`,
        { ...segment, subnet: [`10.${index}.0.0/16`, `fd00:${index}::/64`] },
      ]),
    ),
    hosts: Object.fromEntries(
      hosts.map(({ into, forwarding, containers }, number) => [
        `h${number}`,
        {
          forwarding,
          containers: containers.filter(name => !(name in Object.prototype)),
          links: into
            .filter(index => index < segments.length)
            .map(index => ({
              segment: `s${index}`,
              address: [`10.${index}.0.${number + 1}`, `fd00:${index}::${number + 1}`],
            })),
        },
      ]),
    ),
  }));

describe('any topology', () => {
  test('that is valid is read as it was written, and keeps its addresses in their subnets', () => {
    fc.assert(
      fc.property(topologies, topology => {
        const read = parseTopology(stringify(topology));
        assert.deepEqual(read, topology);
        const { segments, hosts } = planTopology(read, { name: 'x' });
        for (const { links } of hosts) {
          for (const { segment, addresses } of links) {
            const { subnets } = segments.find(({ name }) => name === segment) ?? assert.fail(segment);
            for (const address of addresses) {
              const own = Prefix.of(address.ip, address.length);
              assert.ok(own.equals(subnets[address.ip.family]), formatInterfaceAddress(address));
            }
          }
        }
      }),
    );
  });

  test('with one address given twice is refused, wherever it is', () => {
    fc.assert(
      fc.property(topologies, topology => {
        const [segment] = Object.keys(topology.segments ?? {});
        const link = { segment: segment ?? '', address: '10.0.200.200' };
        const hosts = { ...topology.hosts, twin1: { links: [link] }, twin2: { links: [link] } };
        const paths = problemsOf(stringify({ ...topology, hosts })).map(({ path }) => path);
        assert.deepEqual(paths, ['hosts.twin2.links[0].address']);
      }),
    );
  });
});
