/** Packets that the real kernel drops, each planted here: the reason, the place, and the packet, also inside of a tunnel. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, type TestContext, test } from 'node:test';
import { Assembler } from '../../src/bpf/assembler.ts';
import type { BpfError } from '../../src/bpf/errors.ts';
import { R0 } from '../../src/bpf/instructions.ts';
import { bpfObstacle } from '../../src/bpf/obstacle.ts';
import { BpfProgram } from '../../src/bpf/program.ts';
import { layerOf } from '../../src/inspect/decode/layers.ts';
import { DropMonitor } from '../../src/inspect/drops/drop-monitor.ts';
import { type KernelDrop, layersOfDrop } from '../../src/inspect/drops/kernel-drop.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { run } from '../../src/sys/process.ts';
import { writeSysctl } from '../../src/sys/sysctl.ts';
import { needsRoot, requires } from '../support/capabilities.ts';
import { deadline, eventually, within } from '../support/eventually.ts';
import { Namespace, neighbourhood } from '../support/neighbourhood.ts';

const obstacle = bpfObstacle();
const needsBpf = needsRoot.skip ? needsRoot : requires(obstacle === undefined, obstacle ?? '');

/** Sends packets without an answer. */
const ping = (from: Namespace, to: string, ...options: string[]) =>
  run('ping', ['-c', '1', '-W', '0.2', ...options, to], { namespaces: from.namespaces, anyStatus: true });

/** One datagram to a port. */
const datagram = (from: Namespace, to: string, port: number) =>
  run('bash', ['-c', `echo -n x > /dev/udp/${to}/${port}`], { namespaces: from.namespaces, anyStatus: true });

const ANY = () => true;

/** The first drop for a reason while packets are sent, in the namespaces given. */
async function dropOf(
  reason: string,
  where: readonly Namespace[],
  send: () => Promise<unknown>,
  fits: (drop: KernelDrop) => boolean = ANY,
) {
  using monitor = DropMonitor.open({ netns: where.map(({ netns }) => netns.inode) });
  await send();
  const seen: string[] = [];
  try {
    for await (const drop of monitor.events(deadline(`a drop with the reason ${reason}`))) {
      if (drop.reason === reason && fits(drop)) {
        assert.ok((monitor.counts().get(reason) ?? 0) > 0, 'it is counted');
        return { drop, place: (await monitor.functionsAt([drop.location])).get(drop.location) };
      }
      seen.push(drop.reason);
    }
  } catch (cause) {
    throw new Error(`seen instead: ${seen.join(', ') || 'nothing'}`, { cause });
  }
  return assert.fail('the monitor does not end');
}

const addressesOf = (drop: KernelDrop) => {
  const ip = layerOf(layersOfDrop(drop), 'ipv4');
  return `${ip?.source} > ${ip?.destination}`;
};

/** Two hosts, `a` and `b`, with a cable between them. */
async function pair(t: TestContext) {
  const [left, right] = [new Namespace(t), new Namespace(t)];
  await left.cable('u', '192.0.2.1/24', right, '192.0.2.2/24');
  return { left, right };
}

/** TC_ACT_SHOT (include/uapi/linux/pkt_cls.h) and XDP_DROP (include/uapi/linux/bpf.h). */
const AT_A_LINK = [
  { reason: 'TC_INGRESS', type: 'traffic control', point: 'tcx ingress', verdict: 2 },
  { reason: 'TC_EGRESS', type: 'traffic control', point: 'tcx egress', verdict: 2 },
  // A virtual cable runs programs itself, and gives no reason: the function says it.
  { reason: 'NOT_SPECIFIED', type: 'xdp', point: 'xdp', verdict: 1, function: /^veth_xdp/ },
] as const;

async function linkIndex({ netns }: Namespace, wanted: string): Promise<number> {
  await using route = connectRoute({ netns });
  const link = (await route.links.list()).find(({ name }) => name === wanted);
  return link?.index ?? assert.fail(`no link ${wanted}`);
}

describe('a dropped packet has the reason of the kernel', needsBpf, () => {
  test('NO_SOCKET: no program has the port', async t => {
    const { left, right } = await pair(t);
    const { drop, place } = await dropOf('NO_SOCKET', [right], () => datagram(left, '192.0.2.2', 9));
    assert.equal(addressesOf(drop), '192.0.2.1 > 192.0.2.2');
    assert.equal(layerOf(layersOfDrop(drop), 'udp')?.destinationPort, 9);
    assert.deepEqual([drop.link?.name, drop.netns], ['u', right.netns.inode]);
    assert.ok(Math.abs(drop.time - Date.now()) < 60_000, `${drop.time} is now`);
    assert.match(place ?? '', /^__udp4_lib_rcv/);
  });

  test('NETFILTER_DROP: a rule', async t => {
    const { host, container } = await neighbourhood(t);
    await host.do('iptables -A FORWARD -d 192.0.2.2 -j DROP');
    const { drop } = await dropOf('NETFILTER_DROP', [host], () => ping(container, '192.0.2.2'));
    assert.equal(addressesOf(drop), '10.3.5.2 > 192.0.2.2');
    assert.equal(drop.link?.name, 'c');
  });

  test('IP_RPFILTER: strict reverse path filtering', async t => {
    const { host, container } = await neighbourhood(t);
    writeSysctl('net/ipv4/conf/c/rp_filter', '1', host.netns);
    await container.do('ip addr add 192.0.2.77/32 dev c', 'ping -c 1 -W 10 10.3.5.1');
    const { drop } = await dropOf('IP_RPFILTER', [host], () =>
      ping(container, '10.3.5.1', '-I', '192.0.2.77'),
    );
    assert.equal(addressesOf(drop), '192.0.2.77 > 10.3.5.1');
  });

  test('IP_INNOROUTES: no route to the destination', async t => {
    const { host, container } = await neighbourhood(t);
    const { drop } = await dropOf('IP_INNOROUTES', [host], () => ping(container, '203.0.113.1'));
    assert.equal(addressesOf(drop), '10.3.5.2 > 203.0.113.1');
  });

  test('VXLAN_VNI_NOT_FOUND: with the packet in the tunnel', async t => {
    const { left, right } = await pair(t);
    const vxlan = 'type vxlan dstport 4789 dev u';
    await left.do(
      `ip link add v ${vxlan} id 88 remote 192.0.2.2`,
      'ip addr add 10.3.0.1/16 dev v',
      'ip link set v up',
      'ip neigh replace 10.3.0.2 lladdr 02:00:00:00:00:02 dev v nud permanent',
    );
    await right.do(`ip link add v ${vxlan} id 89 remote 192.0.2.1`, 'ip link set v up');
    // The device announces itself over IPv6 as well.
    const isEcho = (drop: KernelDrop) => layerOf(layersOfDrop(drop), 'icmp') !== undefined;
    const { drop } = await dropOf('VXLAN_VNI_NOT_FOUND', [right], () => ping(left, '10.3.0.2'), isEcho);
    const layers = layersOfDrop(drop);
    assert.equal(layerOf(layers, 'vxlan')?.vni, 88);
    const inner = layers.findLast(layer => layer.layer === 'ipv4');
    assert.equal(`${inner?.source} > ${inner?.destination}`, '10.3.0.1 > 10.3.0.2');
    assert.equal(layerOf(layers, 'icmp')?.type, 8);
  });

  for (const { reason, type, point, verdict, ...more } of AT_A_LINK) {
    test(`${reason} at ${point}: a program at the link`, async t => {
      const { left, right } = await pair(t);
      await left.do('ping -c 1 -W 10 192.0.2.2');
      const instructions = new Assembler().move(R0, verdict).exit().finish();
      using program = BpfProgram.load({ type, name: 'tulle_test', instructions });
      const where = point === 'tcx egress' ? left : right;
      const index = await linkIndex(where, 'u');
      using _attached = where.netns.run(() => program.attachToLink(index, point));
      const isEcho = (drop: KernelDrop) => addressesOf(drop) === '192.0.2.1 > 192.0.2.2';
      const { place } = await dropOf(reason, [where], () => ping(left, '192.0.2.2'), isEcho);
      if ('function' in more) assert.match(place ?? '', more.function);
    });
  }

  test('over IPv6 as well', async t => {
    const { left, right } = await pair(t);
    await left.do('ip addr add fd00::1/64 dev u nodad');
    await right.do('ip addr add fd00::2/64 dev u nodad');
    const { drop } = await dropOf('NO_SOCKET', [right], () => datagram(left, 'fd00::2', 9));
    const ip = layerOf(layersOfDrop(drop), 'ipv6');
    assert.equal(`${ip?.source} > ${ip?.destination}`, 'fd00::1 > fd00::2');
  });
});

describe('a monitor', needsBpf, () => {
  /** So many in a row that the queue of a busy processor has room for them (net.core.netdev_max_backlog: 1,000). */
  const BURST = 300;
  /** More than the ring has room for. */
  const DATAGRAMS = 10 * BURST;
  const flood = (from: Namespace, to: string) =>
    run('bash', ['-c', `exec 3>/dev/udp/${to}/9; for i in {1..${BURST}}; do printf x >&3; done`], {
      namespaces: from.namespaces,
    });

  test('sees the namespaces that it was opened for alone; many are open at once', async t => {
    const { left, right } = await pair(t);
    using stack = new DisposableStack();
    const open = (...where: Namespace[]) =>
      stack.use(DropMonitor.open({ netns: where.map(({ netns }) => netns.inode) }));
    const monitors = { right: open(right), left: open(left), both: open(left, right), none: open() };
    const crowd = Array.from({ length: 20 }, () => open(right));
    stack.use(DropMonitor.open());
    await datagram(left, '192.0.2.2', 9);
    const counted = (monitor: DropMonitor) => monitor.counts().get('NO_SOCKET') ?? 0;
    // It may wait for its neighbor, or for a processor, when the sender has ended.
    const seeing = [monitors.right, monitors.both, ...crowd];
    await eventually('all have seen the drop', async () => seeing.every(monitor => counted(monitor) > 0));
    for (const monitor of seeing) assert.equal(counted(monitor), 1);
    assert.deepEqual([counted(monitors.left), counted(monitors.none)], [0, 0]);
  });

  test('counts what its events have no room for', async t => {
    const { left, right } = await pair(t);
    using monitor = DropMonitor.open({ netns: [right.netns.inode] });
    // An error of ICMP for each would stop the sender.
    await right.do('iptables -A INPUT -p udp -j DROP');
    // A neighbor that is not known yet has room for less.
    await left.do('ping -c 1 -W 30 192.0.2.2');
    const counted = () => monitor.counts().get('NETFILTER_DROP') ?? 0;
    for (let sent = BURST; sent <= DATAGRAMS; sent += BURST) {
      await flood(left, '192.0.2.2');
      await eventually(`${sent} are dropped`, async () => counted() >= sent);
    }
    assert.equal(counted(), DATAGRAMS);
    assert.ok(monitor.missed > 0, 'the ring was too small');
    let seen = 0;
    for await (const { reason } of monitor.events(deadline('all events are read'))) {
      if (reason === 'NETFILTER_DROP') seen++;
      const { missed } = monitor;
      if (seen + missed >= DATAGRAMS) break;
    }
    // And there is room again.
    await datagram(left, '192.0.2.2', 9);
    await eventually('one more is dropped', async () => counted() > DATAGRAMS);
    assert.equal(counted(), DATAGRAMS + 1);
  });

  test('ends its events with its disposal, and those of a signal with its reason; nothing is left open', async t => {
    const open = () => readdirSync('/proc/self/fd').length;
    const { right } = await pair(t);
    const before = open();
    for (let round = 0; round < 50; round++) {
      const monitor = DropMonitor.open({ netns: [right.netns.inode] });
      const reading = Array.fromAsync(monitor.events());
      monitor[Symbol.dispose]();
      await within('the events end', reading);
      monitor[Symbol.dispose]();
    }
    assert.ok(open() <= before, 'each has closed what it opened');
    using monitor = DropMonitor.open({ netns: [right.netns.inode] });
    const reading = Array.fromAsync(monitor.events(AbortSignal.abort(new Error('enough'))));
    await assert.rejects(within('the events end', reading), /enough/);
  });
});

test('what the verifier does not accept is an error with its words', needsBpf, () => {
  // R0 is read before anything is written to it.
  const instructions = new Assembler().exit().finish();
  assert.throws(
    () => BpfProgram.load({ type: 'raw tracepoint', name: 'tulle_wrong', instructions }),
    (error: BpfError) => error.code === 'REJECTED' && error.message.includes('R0 !read_ok'),
  );
});
