/** Labs of any shape, made from a topology: in a real kernel, driven from outside. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { LabHost } from '../../src/lab/host/host.ts';
import { createLab, type Lab } from '../../src/lab/lab.ts';
import { planTopology } from '../../src/lab/topology/plan.ts';
import type { LabTopology } from '../../src/lab/topology/topology.ts';
import type { PingReport } from '../../src/lab/traffic/ping.ts';
import { run } from '../../src/sys/process.ts';
import { lostEchoes } from '../support/echoes.ts';
import { deadline } from '../support/eventually.ts';
import { lab, labName, needsLab, programsOf, tracesOf } from '../support/lab.ts';

const possible = needsLab();

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
    const [vm1, router, outside, alone] = hostsOf(lab);
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

  test('loses frames where it is to, and nowhere else', async () => {
    const link = (segment: string, address: string) => ({ segment, address });
    await using lab = await make({
      segments: { bad: { subnet: '10.1.0.0/24', loss: 50 }, good: { subnet: '10.2.0.0/24' } },
      hosts: {
        vm1: { links: [link('bad', '10.1.0.1'), link('good', '10.2.0.1')] },
        vm2: { links: [link('bad', '10.1.0.2'), link('good', '10.2.0.2')] },
      },
    });
    const [vm1, vm2] = hostsOf(lab);
    assert.ok(vm1 && vm2);
    // Without questions of ARP, of which too many could be lost in a row.
    const [mac1, mac2] = await Promise.all([vm1, vm2].map(host => macOf(host, 'eth0')));
    await vm1.run('ip', ['neigh', 'replace', '10.1.0.2', 'lladdr', mac2 ?? '', 'dev', 'eth0']);
    await vm2.run('ip', ['neigh', 'replace', '10.1.0.1', 'lladdr', mac1 ?? '', 'dev', 'eth0']);
    const lostTo = (to: string) => lostEchoes({ from: vm1.netnsFile, to, count: 200, interval: 2 });
    // Both ways: three of four. That it is outside of these bounds has a chance of less than one in a billion.
    const lost = await lostTo('10.1.0.2');
    assert.ok(lost > 110 && lost < 190, `${lost} of 200 lost`);
    assert.equal(await lostTo('10.2.0.2'), 0);
  });

  test('delays frames where the kernel can, and is refused before anything is made where it cannot', async t => {
    const name = labName();
    const delayed: LabTopology = {
      segments: { far: { subnet: '10.1.0.0/24', delay: 40 } },
      hosts: {
        vm1: { links: [{ segment: 'far', address: '10.1.0.1' }] },
        vm2: { links: [{ segment: 'far', address: '10.1.0.2' }] },
      },
    };
    const kernel = ['--net', '--', ...'tc qdisc add dev lo root netem delay 1ms'.split(' ')];
    const { status, stderr } = await run('unshare', kernel, { anyStatus: true });
    const making = createLab(planTopology(delayed, { name }), { signal: deadline('a lab is made', 90_000) });
    if (status === 0) {
      await using lab = await making;
      const [vm1] = hostsOf(lab);
      assert.ok(vm1);
      const { stdout } = await vm1.run('ping', ['-n', '-q', '-c', '3', '-i', '0.2', '10.1.0.2']);
      const [, least] = /= ([\d.]+)\//.exec(stdout) ?? [];
      assert.ok(Number(least) >= 80, stdout);
      return;
    }
    t.diagnostic(`this kernel has no netem: ${stderr.trim()}`);
    await assert.rejects(making, /segments\.far\.delay = 40: this kernel cannot delay frames.*NETEM/);
    assert.deepEqual(await tracesOf(name), []);
  });
});

describe('the topology file of the guide', possible, () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/guide/labs.md'), 'utf8');
  const block = (kind: string, number = 0) =>
    [...page.matchAll(new RegExp(`^\`\`\`${kind}\\n(.*?)^\`\`\`$`, 'gms'))][number]?.[1] ?? assert.fail(kind);
  const file = block('yaml');

  test('makes the lab that the page shows', async t => {
    const name = labName();
    t.after(() => lab(['down', '--name', name]));
    const up = await lab(['up', '-f', '-', '--name', name], { input: file });
    assert.equal(up.status, 0, up.stderr);
    // Addresses are leased at random.
    const shape = (text: string) => text.replaceAll(/10\.5\.\d+\.\d+/g, 'IP').replaceAll(/ +/g, ' ');
    const [, shown = ''] = /yaml\n(.*?)# tulle/s.exec(block('console')) ?? [];
    assert.equal(shape(up.stdout), shape(shown));
    const { stdout, status } = await lab(['ping', '--name', name, '--json']);
    const { pairs, sent, lost } = JSON.parse(stdout) as PingReport;
    assert.deepEqual({ status, pairs, sent, lost }, { status: 0, pairs: 7, sent: 21, lost: 0 });
    const on = (target: string, ...words: string[]) => lab(['exec', '--name', name, target, '--', ...words]);
    const ping = ['ping', '-n', '-c', '1', '-W', '5'];
    assert.equal((await on('outside', ...ping, 'vm1')).status, 0);
    assert.match(
      (await on('vm1/c1', ...ping, '10.2.0.99')).stdout,
      / ttl=62 /,
      'a container reaches the outside',
    );
    assert.match((await on('vm2', 'ip', 'link', 'show', 'flannel.1')).stdout, / mtu 1350 /);
    assert.match(
      (await on('vm2', 'pgrep', '-af', 'main.ts agent')).stdout,
      / agent .*--iptables-resync=10$/m,
    );
  });

  test('with mistakes is refused as the page shows, before anything is made', async t => {
    const directory = await mkdtemp(join(tmpdir(), 'tt-topology-'));
    t.after(() => rm(directory, { recursive: true }));
    const name = labName();
    const wrong = file
      .replace('via: 10.1.0.1}', 'via: 10.7.0.1}')
      .replace('{segment: left, address: 10.1.0.1}', '{segment: left, address: 10.1.0.11}')
      .replace('{segment: right, address: 10.2.0.1}', '{segment: rigth, address: 10.2.0.1}');
    await writeFile(join(directory, 'wrong.yaml'), wrong);
    const { status, stderr } = await lab(['up', '-f', 'wrong.yaml', '--name', name], { cwd: directory });
    assert.equal(status, 2);
    assert.equal(stderr, block('console', 1).replace(/^#.*\n/, ''));
    assert.deepEqual(await tracesOf(name), []);
  });
});

const hostsOf = (lab: Lab) => lab.record.hosts.map(({ name, anchor }) => new LabHost(name, anchor));

async function macOf(host: LabHost, link: string): Promise<string> {
  const { stdout } = await host.run('ip', ['-json', 'link', 'show', link]);
  return (JSON.parse(stdout) as { address: string }[])[0]?.address ?? assert.fail(`${link} has no address`);
}

const make = (topology: LabTopology) =>
  createLab(planTopology(topology, { name: labName() }), { signal: deadline('a lab is made', 180_000) });
