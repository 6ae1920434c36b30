/** One packet through real rules: which are named, what the packet looks like at each hook, and what is left behind. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { describe, type TestContext, test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { expectedHops, firstDifference } from '../../src/inspect/trace/expected-way.ts';
import type { PacketTrace } from '../../src/inspect/trace/hops.ts';
import type { PacketSelector } from '../../src/inspect/trace/packet.ts';
import { hopLine, traceLines } from '../../src/inspect/trace/text.ts';
import { type TraceOptions, tracePacket } from '../../src/inspect/trace/trace-packet.ts';
import { connectNetfilter } from '../../src/netlink/netfilter/connect.ts';
import { run, start } from '../../src/sys/process.ts';
import { readSysctl, writeSysctl } from '../../src/sys/sysctl.ts';
import { needsRoot } from '../support/capabilities.ts';
import { deadline, eventually, within } from '../support/eventually.ts';
import { Namespace, neighbourhood } from '../support/neighbourhood.ts';

/** Longer than a loaded machine needs; no test waits for it but those of a packet that does not come. */
const PATIENCE = 15_000;

interface Sent {
  readonly from: Namespace;
  readonly packet: PacketSelector;
  readonly options?: Partial<TraceOptions>;
}

/** Sends a packet that fits, and follows it on `host`. */
function follow(t: TestContext, host: Namespace, { from, packet, options }: Sent) {
  const to = `${packet.destination}`;
  const [program, args] =
    packet.protocol === 'icmp'
      ? ['ping', ['-c', '1', '-W', '1', to]]
      : [
          process.execPath,
          ['-e', `require('net').connect(${packet.destinationPort}, '${to}').on('error', () => {})`],
        ];
  return tracePacket({
    netns: host.netns,
    run: (name, words) => run(name, words, { namespaces: host.namespaces, anyStatus: true }),
    packet,
    send: signal => run(program, args, { namespaces: from.namespaces, anyStatus: true, signal }),
    signal: AbortSignal.any([t.signal, deadline('the packet is followed', 3 * PATIENCE)]),
    patience: PATIENCE,
    ...options,
  });
}

const linesOf = (trace: PacketTrace | undefined): string[] =>
  traceLines(trace ?? assert.fail('the packet was seen')).map(line =>
    line.replace(/(10\.3\.5\.2|192\.0\.2\.1):\d+/, '$1:PORT'),
  );

const tablesOf = async ({ namespaces }: Namespace) =>
  (await run('nft', ['list', 'tables'], { namespaces })).stdout.split('\n').filter(line => line !== '');

const echoTo = (address: string): PacketSelector => ({ protocol: 'icmp', destination: Ip.parse(address) });

describe('a packet is followed', needsRoot, () => {
  test('through what iptables made: jumps, a translation, the policy; nothing is left', async t => {
    const { host, container } = await neighbourhood(t);
    await host.do(
      'iptables -t nat -N DOCKER',
      'iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER',
      'iptables -t nat -A DOCKER ! -i x -p tcp -m tcp --dport 10080 -j DNAT --to-destination 192.0.2.2:80',
      'iptables -t nat -A POSTROUTING -s 10.3.5.0/24 ! -o c -j MASQUERADE',
      'iptables -N USER',
      'iptables -A FORWARD -j USER',
      'iptables -A FORWARD -i c -o o -j ACCEPT',
      'iptables -P FORWARD DROP',
    );
    const before = await tablesOf(host);
    const packet = { protocol: 'tcp', destination: Ip.parse('10.3.5.1'), destinationPort: 10080 } as const;
    assert.deepEqual(linesOf(await follow(t, host, { from: container, packet })), [
      'tcp 10.3.5.2:PORT -> 10.3.5.1:10080, in c',
      'prerouting, in c',
      '  nat PREROUTING: -m addrtype --dst-type LOCAL -j DOCKER => jump DOCKER',
      '  nat DOCKER: ! -i x -p tcp -m tcp --dport 10080 -j DNAT --to-destination 192.0.2.2:80 => accept',
      '    destination becomes 192.0.2.2:80',
      'forward, in c, out o',
      '  filter FORWARD: -j USER => jump USER',
      '  filter USER: end of the chain',
      '  filter FORWARD: -i c -o o -j ACCEPT => accept',
      'postrouting, in c, out o',
      '  nat POSTROUTING: -s 10.3.5.0/24 ! -o c -j MASQUERADE => accept',
      '    source becomes 192.0.2.1:PORT',
      'sent, out o: tcp 192.0.2.1:PORT -> 192.0.2.2:80',
    ]);
    assert.deepEqual(await tablesOf(host), before);

    // The same as the rules say, worked out from their text.
    const trace = (await follow(t, host, { from: container, packet })) ?? assert.fail('the packet was seen');
    const saved = await run('iptables-save', [], { namespaces: host.namespaces });
    const hops = await expectedHops(saved.stdout, {
      packet: trace.packet,
      input: 'c',
      isLocal: address => ['10.3.5.1', '192.0.2.1'].includes(`${address}`),
      linkTo: () => Promise.resolve('o'),
    });
    assert.equal(firstDifference(trace.hops.map(hopLine), hops), undefined);
  });

  test('to the rule that drops it, in the words of nft', async t => {
    const { host, container } = await neighbourhood(t);
    await host.do(
      'nft add table inet guard',
      'nft add chain inet guard forward { type filter hook forward priority 5 ; policy accept ; }',
      'nft add rule inet guard forward ip saddr 10.3.5.2 icmp type echo-request counter drop',
    );
    const trace = await follow(t, host, { from: container, packet: echoTo('192.0.2.2') });
    assert.deepEqual(linesOf(trace), [
      'icmp 10.3.5.2 -> 192.0.2.2, in c',
      'forward, in c, out o',
      '  inet guard forward: ip saddr 10.3.5.2 icmp type echo-request counter drop => drop',
      'dropped: icmp 10.3.5.2 -> 192.0.2.2',
    ]);
    assert.equal(trace?.end.kind === 'dropped' && trace.end.hop.chain, 'forward');
  });

  test('to the policy that drops it', async t => {
    const { host, container } = await neighbourhood(t);
    await host.do('iptables -P FORWARD DROP');
    const trace = await follow(t, host, { from: container, packet: echoTo('192.0.2.2') });
    assert.deepEqual(linesOf(trace).slice(1), [
      'forward, in c, out o',
      '  filter FORWARD: policy drop',
      'dropped: icmp 10.3.5.2 -> 192.0.2.2',
    ]);
  });

  test('to a route that ends it, which no rule can say', async t => {
    const { host, container } = await neighbourhood(t);
    await host.do('ip route add blackhole 203.0.113.0/24');
    const options = { silence: 1_000 };
    const trace = await follow(t, host, { from: container, packet: echoTo('203.0.113.1'), options });
    assert.deepEqual(linesOf(trace), [
      'icmp 10.3.5.2 -> 203.0.113.1, in c',
      'not seen again after prerouting: icmp 10.3.5.2 -> 203.0.113.1',
    ]);
  });

  test('from this host to itself: out of the loopback device and in again', async t => {
    const { host } = await neighbourhood(t);
    await host.do('ip link set lo up', 'iptables -A INPUT -i lo -j ACCEPT');
    assert.deepEqual(linesOf(await follow(t, host, { from: host, packet: echoTo('10.3.5.1') })), [
      'icmp 10.3.5.1 -> 10.3.5.1',
      'input, in lo',
      '  filter INPUT: -i lo -j ACCEPT => accept',
      'delivered to this host: icmp 10.3.5.1 -> 10.3.5.1',
    ]);
  });

  test('over a bridge, where it is known again although the kernel gives it another number', async t => {
    const { host, container } = await neighbourhood(t);
    await host.do('ip link add br0 type bridge', 'ip addr flush dev c', 'ip link set c master br0');
    await host.do('ip addr add 10.3.5.1/24 dev br0', 'ip link set br0 up');
    writeSysctl('net/bridge/bridge-nf-call-iptables', '1', host.netns);
    await host.do('iptables -A INPUT -p icmp -j ACCEPT');
    const lines = linesOf(await follow(t, host, { from: container, packet: echoTo('10.3.5.1') }));
    assert.deepEqual(lines.slice(-3), [
      'input, in br0',
      '  filter INPUT: -p icmp -j ACCEPT => accept',
      'delivered to this host: icmp 10.3.5.2 -> 10.3.5.1',
    ]);
  });

  test('over IPv6', async t => {
    const { host, container } = await neighbourhood(t);
    await host.do('ip -6 addr add fd00:5::1/64 dev c nodad', 'ip6tables -A INPUT -p icmpv6 -j DROP');
    await container.do(
      'ip -6 addr add fd00:5::2/64 dev c nodad',
      'ip -6 neigh add fd00:5::1 dev c lladdr ' + (await macOf(host)),
    );
    const packet = { ...echoTo('fd00:5::1'), source: Ip.parse('fd00:5::2') };
    assert.deepEqual(linesOf(await follow(t, host, { from: container, packet })), [
      'icmpv6 fd00:5::2 -> fd00:5::1, in c',
      'input, in c',
      '  filter INPUT: -p ipv6-icmp -j DROP => drop',
      'dropped: icmpv6 fd00:5::2 -> fd00:5::1',
    ]);
  });
});

/** A kernel may be built without it, which no package changes. */
const hasLegacy = spawnSync('unshare', ['--net', 'iptables-legacy', '-L'], { timeout: 10_000 }).status === 0;
const needsLegacy = { skip: needsRoot.skip || (hasLegacy ? false : 'needs iptables-legacy in the kernel') };

describe('a packet is followed through iptables-legacy', needsLegacy, () => {
  test('beside nftables, hook by hook; the log is as it was', async t => {
    const { host, container } = await neighbourhood(t);
    await host.do(
      'iptables-legacy -t nat -N DOCKER',
      'iptables-legacy -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER',
      'iptables-legacy -t nat -A DOCKER -p tcp -m tcp --dport 10080 -j DNAT --to-destination 192.0.2.2:80',
      'iptables-legacy -N USER',
      'iptables-legacy -A USER -p udp',
      'iptables-legacy -A FORWARD -j USER',
      'iptables-legacy -A FORWARD -j ACCEPT',
      'nft add table ip mine',
      'nft add chain ip mine late { type filter hook forward priority 10 ; }',
      'nft add rule ip mine late counter',
      'nft add chain ip mine early { type filter hook prerouting priority 20 ; }',
      'nft add rule ip mine early counter',
    );
    const before = readSysctl('net/netfilter/nf_log/2', host.netns);
    const packet = { protocol: 'tcp', destination: Ip.parse('10.3.5.1'), destinationPort: 10080 } as const;
    assert.deepEqual(linesOf(await follow(t, host, { from: container, packet })), [
      'tcp 10.3.5.2:PORT -> 10.3.5.1:10080, in c',
      'prerouting, in c',
      '  legacy nat PREROUTING: -m addrtype --dst-type LOCAL -j DOCKER => jump DOCKER',
      '  legacy nat DOCKER: -p tcp -m tcp --dport 10080 -j DNAT --to-destination 192.0.2.2:80 => accept',
      '    destination becomes 192.0.2.2:80',
      '  mine early: counter',
      '  mine early: policy accept',
      'forward, in c, out o',
      '  legacy filter FORWARD: -j USER => jump USER',
      '  legacy filter USER: end of the chain',
      '  legacy filter FORWARD: -j ACCEPT => accept',
      '  mine late: counter',
      '  mine late: policy accept',
      'postrouting, in c, out o',
      '  legacy nat POSTROUTING: policy accept',
      'sent, out o: tcp 10.3.5.2:PORT -> 192.0.2.2:80',
    ]);
    assert.equal(readSysctl('net/netfilter/nf_log/2', host.netns), before);
  });

  test('to its policy, and over IPv6 to its rule', async t => {
    const { host, container } = await neighbourhood(t);
    await host.do('iptables-legacy -P FORWARD DROP', 'ip -6 addr add fd00:5::1/64 dev c nodad');
    assert.deepEqual(
      linesOf(await follow(t, host, { from: container, packet: echoTo('192.0.2.2') })).slice(1),
      ['forward, in c, out o', '  legacy filter FORWARD: policy drop', 'dropped: icmp 10.3.5.2 -> 192.0.2.2'],
    );
    await host.do('ip6tables-legacy -A INPUT -p icmpv6 --icmpv6-type echo-request -j DROP');
    await container.do('ip -6 addr add fd00:5::2/64 dev c nodad');
    const packet = { ...echoTo('fd00:5::1'), source: Ip.parse('fd00:5::2') };
    const ipv6 = await follow(t, host, { from: container, packet });
    assert.equal(ipv6?.end.kind, 'dropped');
    assert.match(
      linesOf(ipv6).join('\n'),
      /legacy filter INPUT: .*echo-request|legacy filter INPUT: .* => drop/,
    );
  });

  test('is refused, and says why, while another program receives the log', async t => {
    const { host, container } = await neighbourhood(t);
    await host.do('iptables-legacy -A FORWARD -j ACCEPT');
    using netfilter = connectNetfilter({ netns: host.netns });
    using _log = netfilter.packetLog(0);
    await assert.rejects(follow(t, host, { from: container, packet: echoTo('192.0.2.2') }), {
      name: 'TraceError',
      code: 'REFUSED',
      hint: /ulogd/,
    });
    assert.deepEqual(await tablesOf(host), []);
  });
});

async function macOf({ namespaces }: Namespace): Promise<string> {
  const { stdout } = await run('ip', ['-br', 'link', 'show', 'c'], { namespaces });
  return /([0-9a-f]{2}:){5}[0-9a-f]{2}/.exec(stdout)?.[0] ?? assert.fail('a link-layer address');
}

describe('a trace', needsRoot, () => {
  test('is of the wanted packet only', async t => {
    const { host, container } = await neighbourhood(t);
    const packet = { protocol: 'tcp', destination: Ip.parse('10.3.5.1'), destinationPort: 81 } as const;
    // To the same address, of another protocol and to another port: the host answers both.
    const send = async (signal: AbortSignal) => {
      const there = { namespaces: container.namespaces, anyStatus: true, signal };
      await run('ping', ['-c', '1', '-W', '1', '10.3.5.1'], there);
      await run(
        process.execPath,
        ['-e', "require('net').connect(80, '10.3.5.1').on('error', () => {})"],
        there,
      );
    };
    const others = await follow(t, host, { from: container, packet, options: { patience: 300, send } });
    assert.equal(others, undefined);
  });

  test('is bounded in count', async t => {
    const { host, container } = await neighbourhood(t);
    await host.do('iptables -A FORWARD -p icmp', 'iptables -A FORWARD -p icmp');
    const options = { mostEvents: 3 };
    const trace = await follow(t, host, { from: container, packet: echoTo('192.0.2.2'), options });
    assert.equal(trace?.end.kind, 'cut');
  });

  test('fails with what its sender says when nothing was sent, and when the caller has enough', async t => {
    const { host, container } = await neighbourhood(t);
    const packet = echoTo('192.0.2.2');
    const wrong = { send: () => Promise.reject(new Error('no such program')) };
    await assert.rejects(follow(t, host, { from: container, packet, options: wrong }), /no such program/);
    const stop = new AbortController();
    const slow = { signal: stop.signal, send: async () => stop.abort(new Error('enough')) };
    await assert.rejects(follow(t, host, { from: container, packet, options: slow }), /enough/);
    assert.deepEqual(await tablesOf(host), []);
  });

  test('leaves nothing when its process is killed', async t => {
    const { host } = await neighbourhood(t);
    const module = (name: string) => JSON.stringify(import.meta.resolve(`../../src/${name}`));
    const program = `
      const { tracePacket } = await import(${module('inspect/trace/trace-packet.ts')});
      const { Netns } = await import(${module('sys/netns.ts')});
      const { Ip } = await import(${module('base/ip.ts')});
      const never = new Promise(() => setInterval(() => {}, 60_000));
      await tracePacket({
        netns: Netns.current(),
        run: () => never,
        packet: { protocol: 'icmp', destination: Ip.parse('192.0.2.2') },
        send: () => never,
        signal: new AbortController().signal,
      });`;
    const { namespaces } = host;
    const child = await start(process.execPath, ['--input-type=module', '-e', program], { namespaces });
    t.after(() => child.kill('SIGKILL'));
    await eventually('the packet is marked', async () => (await tablesOf(host)).length > 0);
    child.kill('SIGKILL');
    await within('the process ends', child.exited);
    await eventually('the mark is gone', async () => (await tablesOf(host)).length === 0);
  });
});
