/**
 * A check's own flow between containers of two hosts with the real programs: whether it is carried, and what is found where
 * not.
 */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { Ip } from '../../src/base/ip.ts';
import { FastPath } from '../../src/fastpath/fast-path.ts';
import { programName } from '../../src/fastpath/programs/build.ts';
import { ROLES, type Role } from '../../src/fastpath/roles.ts';
import { type FastProbe, probeFastPath } from '../../src/inspect/check/fast-probe.ts';
import { fastFindings } from '../../src/inspect/check/judge/fast.ts';
import type { OngoingEcho } from '../../src/inspect/inspector/inspector.ts';
import { LocalInspector } from '../../src/inspect/inspector/local-inspector.ts';
import { UdpEcho } from '../../src/inspect/inspector/udp-echo.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { getsockname } from '../../src/sys/libc.ts';
import { SOCKADDR } from '../../src/sys/socket-address.ts';
import { openUdpSocket } from '../../src/sys/udp-socket.ts';
import { needsBpf } from '../support/bpftool.ts';
import { deadline } from '../support/eventually.ts';
import { DROP, plantProgram } from '../support/fast-path-plant.ts';
import type { Namespace } from '../support/neighbourhood.ts';
import { type OverlayPair, overlayPair } from '../support/overlay-pair.ts';

const TUNNEL = { port: 8472, vni: 1 } as const;
const PAIR = {
  peer: 'far',
  target: 'c of far',
  container: 'c',
  source: Ip.parse('10.5.1.2'),
  to: Ip.parse('10.5.2.2'),
} as const;

function portOf(fd: number): number {
  const name = getsockname(fd, SOCKADDR.ipv4.length);
  return new DataView(name.buffer, name.byteOffset).getUint16(2);
}

/** Milliseconds. */
const ECHO_LASTS = 90_000;

async function linksOf({ netns }: Namespace) {
  await using rtnetlink = connectRoute({ netns });
  const links = await rtnetlink.links.list();
  return (name: string) => links.find(link => link.name === name) ?? assert.fail(name);
}

async function attach(t: TestContext, host: Namespace, without: readonly Role[] = []): Promise<void> {
  const fastPath = await FastPath.open({ netns: host.netns, owner: '/test' });
  t.after(() => fastPath[Symbol.asyncDispose]());
  fastPath.setTunnels([TUNNEL]);
  const linkOf = await linksOf(host);
  for (const role of Object.keys(ROLES) as Role[]) {
    const { at, point } = ROLES[role];
    if (without.includes(role)) continue;
    await fastPath.attach(linkOf(at === 'uplink' ? 'eth0' : 'veth-c'), point, programName(role, TUNNEL.vni));
  }
}

/** Answers as a host that is stopped for a while: what comes from the 9th datagram on waits for the 21st. */
function slowEcho({ far }: OverlayPair): OngoingEcho {
  const fd = far.container.netns.run(() => openUdpSocket(PAIR.to, 0));
  const socket = createSocket('udp4').on('error', () => undefined);
  let count = 0;
  const waiting: (() => void)[] = [];
  socket.on('message', (bytes, { port, address }) => {
    waiting.push(() => socket.send(bytes, port, address));
    count++;
    if (count <= 8 || count > 20) for (const answer of waiting.splice(0)) answer();
  });
  const port = portOf(fd);
  socket.bind({ fd });
  return { port, [Symbol.asyncDispose]: () => new Promise(resolve => socket.close(() => resolve())) };
}

async function probe(
  { near, far }: OverlayPair,
  // A busy machine may take longer than an echo lasts, after which a check gives up.
  open: () => OngoingEcho = () =>
    UdpEcho.open(far.container.netns, { address: PAIR.to, from: PAIR.source }, ECHO_LASTS),
): Promise<FastProbe> {
  const [here, there] = [near.host, far.host].map(
    ({ netns }) => new LocalInspector({ netns, socketPath: '/nonexistent' }),
  ) as [LocalInspector, LocalInspector];
  const echo = async () => open();
  const signal = deadline('a flow is made', ECHO_LASTS);
  const found = await probeFastPath(PAIR, {
    here,
    there: Object.assign(there, { echo }),
    netns: near.container.netns,
    clock: systemClock,
    signal,
  });
  return typeof found === 'string' ? assert.fail(found) : found;
}

test('a flow is carried by both hosts, and nothing is wrong', needsBpf, async t => {
  const pair = await overlayPair(t);
  for (const { host } of [pair.near, pair.far]) await attach(t, host);
  const found = await probe(pair);
  assert.deepEqual([found.normal.answered, found.fast.answered], [8, 48]);
  const [near, far] = found.hosts;
  for (const one of [near, far]) {
    const [flow] = one?.flows ?? [];
    assert.ok((flow?.sentPackets ?? 0) > 20 && (flow?.deliveredPackets ?? 0) > 20, JSON.stringify(found));
  }
  assert.deepEqual(fastFindings([found], 'near'), []);
});

test('answers of a host that is stopped for a while are late, and not lost', needsBpf, async t => {
  const pair = await overlayPair(t);
  const found = await probe(pair, () => slowEcho(pair));
  assert.equal(found.views.length, 2, 'it was asked again');
  assert.deepEqual([found.fast.answered, fastFindings([found], 'near')], [found.fast.sent, []]);
});

test('on a host of two, and on none', needsBpf, async t => {
  const pair = await overlayPair(t);
  const none = await probe(pair);
  assert.deepEqual([none.fast.answered, fastFindings([none], 'near')], [48, []]);
  await attach(t, pair.near.host);
  const found = await probe(pair);
  assert.deepEqual(
    found.hosts.map(({ flows }) => flows.length),
    [1, 0],
  );
  assert.deepEqual(fastFindings([found], 'near'), []);
});

test('a program of others that drops what takes the fast path is found and named', needsBpf, async t => {
  const pair = await overlayPair(t);
  const linkOf = await linksOf(pair.near.host);
  // In front of ours, which takes the mark of fast packets off.
  pair.near.host.netns.run(() =>
    plantProgram(linkOf('eth0').index, 'egress', { name: 'evil', verdict: DROP, onlyMarked: true }),
  );
  for (const { host } of [pair.near, pair.far]) await attach(t, host);
  const found = await probe(pair);
  const [finding, ...others] = fastFindings([found], 'near');
  assert.deepEqual([finding?.code, finding?.severity, others], ['FAST_PATH_LOSS', 'error', []]);
  assert.match(
    finding?.reason ?? '',
    /between c and c of far are lost as soon as .* evil \(id \d+\) at the egress of eth0/,
  );
  assert.match(finding?.remedy ?? '', /^bpftool net show dev eth0/);
});
