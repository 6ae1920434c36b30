/** Our netlink against the kernel's, seen through `ip` and `bridge`, each test in a namespace of its own. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Ip } from '../../src/base/ip.ts';
import { Prefix } from '../../src/base/prefix.ts';
import { NLM_F_DUMP_INTR } from '../../src/netlink/constants.ts';
import { readMessages } from '../../src/netlink/message.ts';
import { change } from '../../src/netlink/route/change.ts';
import { connectRoute, rtnetlinkOver } from '../../src/netlink/route/connect.ts';
import { NetlinkSocket } from '../../src/sys/netlink-socket.ts';
import { Netns } from '../../src/sys/netns.ts';
import { type KernelFixture, netlinkContract, type ShowCommand } from '../../src/testing/netlink-contract.ts';
import { needsRoot } from '../support/capabilities.ts';
import { deadline, eventually } from '../support/eventually.ts';

/** What a command of the contract is on a real machine. */
const COMMANDS: Readonly<Record<ShowCommand, readonly string[]>> = {
  'ip route': ['ip', '-4', 'route'],
  'ip nexthop': ['ip', 'nexthop'],
  'ip neigh': ['ip', 'neigh', 'show', 'nud', 'permanent'],
  'ip rule': ['ip', '-4', 'rule'],
  'bridge fdb': ['bridge', 'fdb'],
};

/** Multicast addresses a link listens to, and a bridge's entries for the addresses of its ports and its own. */
const KERNELS_OWN = /^(33:33:|01:00:5e:)|master \S+ permanent$/;

async function inNamespace(run: (fixture: KernelFixture) => Promise<void>): Promise<void> {
  using netns = Netns.anonymous();
  await using rtnetlink = connectRoute({ netns });
  await rtnetlink.links.change('lo', { up: true });
  const show = (command: ShowCommand) => {
    const [program = '', ...args] = COMMANDS[command];
    return netns
      .run(() => execFileSync(program, args, { encoding: 'utf8' }))
      .split('\n')
      .map(line => line.replaceAll(/\s+/g, ' ').trim())
      .filter(line => line !== '' && !KERNELS_OWN.test(line))
      .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
      .join('\n');
  };
  await run({ rtnetlink, show });
}

describe('the contract of every kernel', () => {
  for (const { name, run } of netlinkContract) test(name, needsRoot, () => inNamespace(run));
});

test('a link is made in one namespace and moved to another', needsRoot, async () => {
  using here = Netns.anonymous();
  using there = Netns.anonymous();
  await using near = connectRoute({ netns: here });
  await using far = connectRoute({ netns: there });
  await near.links.add({
    name: 'v0',
    info: { kind: 'veth', peer: { name: 'v1', netnsFd: there.fd } },
  });
  assert.equal((await far.links.get('v1'))?.info?.kind, 'veth');
  await near.links.change('v0', { netnsFd: there.fd });
  assert.equal(await near.links.get('v0'), undefined);
  assert.deepEqual((await far.links.list()).map(({ name }) => name).sort(), ['lo', 'v0', 'v1']);
});

test('a link to another namespace says which, and counts what passes', needsRoot, async () => {
  using here = Netns.anonymous();
  using there = Netns.anonymous();
  using elsewhere = Netns.anonymous();
  await using near = connectRoute({ netns: here });
  await using far = connectRoute({ netns: there });
  const peer = { name: 'v1', netnsFd: there.fd };
  await near.links.add({ name: 'v0', info: { kind: 'veth', peer }, up: true });
  const link = await near.links.get('v0');
  assert.equal(typeof link?.netnsId, 'number');
  assert.equal(await near.netnsId(there.fd), link?.netnsId);
  assert.equal(await near.netnsId(elsewhere.fd), undefined);

  const index = link?.index ?? 0;
  const before = await near.links.counters(index);
  await near.addresses.replace({ index, ip: Ip.parse('192.0.2.1'), length: 24 });
  await far.links.change('v1', { up: true });
  here.run(() => void spawnSync('ping', ['-c', '1', '-W', '1', '192.0.2.2'], { timeout: 5_000 }));
  assert.deepEqual([before?.sentPackets, before?.sentBytes, before?.sendErrors], [0, 0, 0]);
  // The first one may come before the kernel has made the link ready.
  await eventually('a question of ARP is counted', async () => {
    const { sentPackets = 0, sentBytes = 0 } = (await near.links.counters(index)) ?? {};
    return sentPackets > 0 && sentBytes >= 42;
  });
  assert.equal(await near.links.counters(index + 1000), undefined);
});

test('requests are handled in another thread where that is asked for', needsRoot, async () => {
  using netns = Netns.anonymous();
  await using rtnetlink = connectRoute({ netns, aside: true });
  let turns = 0;
  const turning = setInterval(() => turns++, 0);
  try {
    const links = Array.from({ length: 50 }, (_, at) => `d${at}`);
    await Promise.all(links.map(name => rtnetlink.links.add({ name, info: { kind: 'bridge' } })));
    assert.ok(turns > 0, 'other work had its turn');
    await assert.rejects(rtnetlink.links.add({ name: 'd7', info: { kind: 'bridge' } }), { code: 'EEXIST' });
    assert.equal((await rtnetlink.links.get('d7'))?.name, 'd7');
    const deleted = Promise.all(links.map(name => rtnetlink.links.delete(name)));
    assert.deepEqual(
      (await rtnetlink.links.list()).map(({ name }) => name),
      ['lo'],
      'a question comes after what was asked for before it',
    );
    await deleted;
  } finally {
    clearInterval(turning);
  }
});

test('a list that changes while it is read is read again', needsRoot, async () => {
  using netns = Netns.anonymous();
  await using writer = connectRoute({ netns });
  await writer.links.change('lo', { up: true });
  const nexthop = (id: number) => change.addNexthop({ id, family: 'ipv4', blackhole: true });
  const stable = 40_000;
  await writer.apply(Array.from({ length: stable }, (_, index) => nexthop(index + 1)));

  let interrupted = 0;
  await using reader = rtnetlinkOver(groups => {
    const socket = NetlinkSocket.open(netns, groups);
    const receive = (buffer: Uint8Array) => {
      const length = socket.receive(buffer);
      for (const { flags } of readMessages(buffer.subarray(0, length ?? 0))) {
        if (flags & NLM_F_DUMP_INTR) interrupted++;
      }
      return length;
    };
    return {
      port: socket.port,
      ignore: port => socket.ignore(port),
      receive,
      send: datagram => socket.send(datagram),
      readable: signal => socket.readable(signal),
      [Symbol.dispose]: () => socket[Symbol.dispose](),
    };
  });
  const listing = reader.nexthops.list();
  for (let round = 0; round < 1000 && interrupted === 0; round++) {
    await writer.apply([nexthop(stable + 1), change.deleteNexthop(stable + 1)]);
    await setImmediate();
  }
  const listed = await listing;
  assert.ok(interrupted > 0, 'the kernel marked a list as changed');
  assert.equal(listed.filter(({ id }) => id <= stable).length, stable);
});

test('a watcher that is too slow learns that it missed something', needsRoot, async () => {
  using netns = Netns.anonymous();
  await using rtnetlink = connectRoute({ netns });
  await rtnetlink.links.change('lo', { up: true });
  const late = deadline('the watcher has received everything');
  const events = rtnetlink.watch(['route'], late);
  const route = (number: number) => ({
    destination: Prefix.parse(`10.${number >> 8}.${number & 255}.0/24`),
    oif: 1,
  });
  const numbers = Array.from({ length: 20_000 }, (_, number) => number);
  await rtnetlink.apply(numbers.map(number => change.replaceRoute(route(number))));
  await rtnetlink.apply(numbers.map(number => change.deleteRoute(route(number))));
  let overruns = 0;
  for await (const { type } of events) {
    if (type === 'overrun') overruns++;
    if (type === 'idle') break;
  }
  late.throwIfAborted();
  assert.equal(overruns, 1);
});

test('queues and filters of a link that change are announced, with the link', needsRoot, async () => {
  using netns = Netns.anonymous();
  await using rtnetlink = connectRoute({ netns });
  await rtnetlink.links.add({ name: 'v0', info: { kind: 'veth', peer: { name: 'v1' } } });
  const index = (await rtnetlink.links.get('v0'))?.index;
  const late = deadline('the changes were announced');
  const events = rtnetlink.watch(['traffic'], late);
  const changes = [
    ['qdisc', 'add', 'dev', 'v0', 'root', 'tbf', 'rate', '1mbit', 'burst', '10k', 'latency', '10ms'],
    ['qdisc', 'add', 'dev', 'v0', 'clsact'],
    ['filter', 'add', 'dev', 'v0', 'ingress', 'protocol', 'ip', 'u32', 'match', 'u8', '0', '0'],
    ['filter', 'del', 'dev', 'v0', 'ingress'],
    ['qdisc', 'del', 'dev', 'v0', 'root'],
  ];
  for (const args of changes) netns.run(() => void execFileSync('tc', args));
  let announced = 0;
  for await (const event of events) {
    if (event.type === 'idle') break;
    assert.deepEqual(event, { type: 'traffic', index });
    announced++;
  }
  late.throwIfAborted();
  assert.ok(announced >= changes.length, `${announced}`);
});
