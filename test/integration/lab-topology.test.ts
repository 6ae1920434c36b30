/** Labs of any shape, made from a topology: in a real kernel, driven from outside. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LabHost } from '../../src/lab/host/host.ts';
import { createLab } from '../../src/lab/lab.ts';
import { requireCapabilities } from '../../src/lab/requirements.ts';
import { planTopology } from '../../src/lab/topology/plan.ts';
import type { LabTopology } from '../../src/lab/topology/topology.ts';
import { requires } from '../support/capabilities.ts';
import { deadline } from '../support/eventually.ts';
import { labName, programsOf } from '../support/lab.ts';

const possible = requires(...canRun());

/** Two segments with a router between them, and a host without a link. */
const ROUTED: LabTopology = {
  segments: {
    left: { subnet: ['10.1.0.0/24', 'fd00:1::/64'], mtu: 1400 },
    right: { subnet: ['10.2.0.0/24', 'fd00:2::/64'] },
  },
  hosts: {
    vm1: {
      links: [{ segment: 'left', address: ['10.1.0.11', 'fd00:1::11'], name: 'ens18' }],
      routes: [
        { to: 'default', via: '10.1.0.1' },
        { to: 'fd00:2::/64', via: 'fd00:1::1' },
      ],
    },
    router: {
      links: [
        { segment: 'left', address: ['10.1.0.1', 'fd00:1::1'] },
        { segment: 'right', address: ['10.2.0.1', 'fd00:2::1'] },
      ],
      forwarding: true,
    },
    outside: {
      links: [{ segment: 'right', address: ['10.2.0.99', 'fd00:2::99'] }],
      routes: [
        { to: '10.1.0.0/24', via: '10.2.0.1' },
        { to: 'fd00:1::/64', via: 'fd00:2::1' },
      ],
    },
    alone: {},
  },
};

describe('a lab made from a topology', possible, () => {
  test('has its hosts, links, addresses, routes and MTU, and nothing that was not asked for', async () => {
    await using lab = await make(ROUTED);
    const [vm1, router, outside, alone] = lab.record.hosts.map(
      ({ name, anchor }) => new LabHost(name, anchor),
    );
    assert.ok(vm1 && router && outside && alone);
    const shown = async (host: LabHost, ...args: string[]) => (await host.run('ip', args)).stdout;

    assert.match(await shown(vm1, '-4', '-brief', 'address'), /^ens18@\w+ +UP +10\.1\.0\.11\/24 *$/m);
    assert.match(await shown(vm1, 'link', 'show', 'ens18'), / mtu 1400 /);
    assert.match(await shown(router, 'link', 'show', 'eth1'), / mtu 1500 /);
    assert.match(await shown(vm1, 'route'), /^default via 10\.1\.0\.1 dev ens18/m);
    assert.match(await shown(alone, '-brief', 'link'), /^lo +UNKNOWN [^\n]*\n$/);
    for (const to of ['10.2.0.99', 'fd00:2::99', 'router']) {
      await vm1.run('ping', ['-n', '-c', '1', '-W', '5', to]);
    }
    const { stdout: ttl } = await vm1.run('ping', ['-n', '-c', '1', '-W', '5', '10.2.0.99']);
    assert.match(ttl, / ttl=63 /, 'it went through the router');
    for (const [host, forwards] of [
      [vm1, '0 0'],
      [router, '1 1'],
    ] as const) {
      const { stdout } = await host.run('sysctl', [
        '-n',
        'net.ipv4.ip_forward',
        'net.ipv6.conf.all.forwarding',
      ]);
      assert.equal(stdout.trim().replace('\n', ' '), forwards, host.name);
    }
    for (const host of [vm1, router, outside, alone]) {
      const words = programsOf(host).flatMap(({ words: [program = ''] }) => program);
      assert.deepEqual(words, ['cat'], `${host.name} runs its anchor only`);
    }
  });

  test('has containers on a host that leased nothing', async () => {
    await using lab = await make({ hosts: { vm1: { containers: ['c1', 'c2'] } } });
    const [host] = lab.record.hosts;
    assert.ok(host);
    assert.deepEqual(
      host.containers.map(({ name, ip }) => `${name} ${ip.ipv4}`),
      ['c1 172.17.0.2', 'c2 172.17.0.3'],
    );
    const [c1] = host.containers;
    const vm1 = new LabHost(host.name, host.anchor);
    await vm1.run('ip', ['netns', 'exec', c1?.name ?? '', 'ping', '-n', '-c', '1', '-W', '5', '172.17.0.3']);
  });
});

const make = (topology: LabTopology) =>
  createLab(planTopology(topology, { name: labName() }), { signal: deadline('a lab is made', 90_000) });

function canRun(): [boolean, string] {
  try {
    requireCapabilities({});
    return [true, ''];
  } catch (error) {
    return [false, (error as Error).message];
  }
}
