/** The forwarder on the real kernel: two hosts, a process each, as the agent starts it. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { Prefix } from '../../src/base/prefix.ts';
import { ForwarderClient } from '../../src/forwarder/control/client.ts';
import type { ForwarderStats } from '../../src/forwarder/control/messages.ts';
import { stopForwarder } from '../../src/forwarder/managed-forwarder.ts';
import type { SysError } from '../../src/sys/errors.ts';
import { close, sendto } from '../../src/sys/libc.ts';
import { start } from '../../src/sys/process.ts';
import { socketAddress } from '../../src/sys/socket-address.ts';
import { openTun } from '../../src/sys/tun.ts';
import { openUdpSocket } from '../../src/sys/udp-socket.ts';
import { usageOf } from '../../src/sys/usage.ts';
import { ipPacket, udpPacket } from '../../src/testing/packets.ts';
import { needsRoot } from '../support/capabilities.ts';
import { lostEchoes } from '../support/echoes.ts';
import { deadline, eventually, within } from '../support/eventually.ts';
import {
  type ForwarderHost,
  ForwarderPair,
  overlayOf,
  PORT,
  subnetsOf,
  tableOf,
  underlayOf,
} from '../support/forwarder-hosts.ts';

describe('forwarder', needsRoot, () => {
  let pair: ForwarderPair;
  let a: ForwarderHost;
  let b: ForwarderHost;
  before(async () => {
    pair = await ForwarderPair.open();
    ({ a, b } = pair);
  });
  after(async () => await pair?.[Symbol.asyncDispose]());

  const target = overlayOf('b');

  for (const over of ['ipv4', 'ipv6'] as const) {
    describe(`over ${over}`, () => {
      before(() => goOver(over));
      after(() => goOver('ipv4'));

      for (const inner of ['ipv4', 'ipv6'] as const) {
        test(`${inner}: echo, also in fragments and as long as a packet can be`, async () => {
          for (const size of ['56', '1400', '3000', '60000']) {
            const { status, stdout, stderr } = await a.run(
              'ping',
              '-c3',
              '-i0.02',
              '-W30',
              '-s',
              size,
              target[inner],
            );
            assert.equal(status, 0, `${size}: ${stdout}${stderr}`);
          }
        });

        test(`${inner}: streams arrive as they were sent, both ways`, async () => {
          await transfer(a, b, target[inner]);
          await transfer(b, a, overlayOf('a')[inner]);
          const { host, routes } = await statsOf(a);
          const route = routes.find(
            ({ subnet }) => subnet === String(subnetsOf('b')[inner === 'ipv4' ? 0 : 1]),
          );
          assert.ok(
            (route?.sentBytes ?? 0) > SIZE && (route?.receivedBytes ?? 0) > SIZE,
            JSON.stringify(route),
          );
          assert.equal(host.drops['malformed'], undefined);
        });

        test(`${inner}: a hop is counted, and the last one answered`, async () => {
          const { stdout } = await a.run('ping', '-c1', '-W30', '-t1', target[inner]);
          assert.match(stdout, /(Time to live|Hop limit) ?exceeded|Time exceeded/);
        });
      }
    });
  }

  test('a destination without a route is answered', async () => {
    for (const address of ['10.77.9.9', 'fd77:9::9']) {
      const { stdout } = await a.run('ping', '-c1', '-W30', address);
      assert.match(stdout, /Destination Net Unreachable|No route/, address);
    }
    assert.ok(((await statsOf(a)).host.drops['noRoute'] ?? 0) >= 2);
  });

  test('a packet too long for one peer is answered with the length that fits, or fragmented', async () => {
    a.forwarder.setTable({
      ...tableOf('a'),
      routes: tableOf('a').routes.map(route => ({ ...route, mtu: 1300 })),
    });
    await eventually('the kernel of a knows 1300', async () => {
      await a.run('ping', '-c1', '-W1', '-Mdo', '-s1400', target.ipv4);
      const { stdout } = await a.run('ip', 'route', 'get', target.ipv4);
      return stdout.includes('mtu 1300');
    });
    const { status, stdout } = await a.run('ping', '-c1', '-W30', '-Mdont', '-s1400', target.ipv4);
    assert.equal(status, 0, stdout);
    // The first one is answered with the length, which the kernel of a has then.
    await eventually('IPv6 is fragmented', async () => {
      return (await a.run('ping', '-6', '-c1', '-W5', '-s1400', target.ipv6)).status === 0;
    });
    await transfer(a, b, target.ipv4);
    a.forwarder.setTable(tableOf('a'));
    await a.run('ip', 'route', 'flush', 'cache');
  });

  test('a datagram is taken from the peer that has the subnet of its packet, and from nobody else', async () => {
    const dropped = async () => {
      const { host, routes } = await statsOf(b);
      const ofA = routes.find(({ subnet }) => subnet === String(subnetsOf('a')[0]));
      const { wrongSource = 0, malformed = 0 } = host.drops;
      return { unknownPeer: ofA?.drops['unknownPeer'] ?? 0, wrongSource, malformed };
    };
    const before = await dropped();
    const say = (from: Ip, packet: Uint8Array) =>
      a.netns.run(() => {
        const fd = openUdpSocket(from, 0);
        sendto(fd, packet, socketAddress(underlayOf('b').ipv4, PORT));
        close(fd);
      });
    await a.ip('addr', 'add', '192.0.2.99/24', 'dev', 'eth0');
    const fields = { from: '10.77.1.7', to: target.ipv4 };
    say(Ip.parse('192.0.2.99'), udpPacket(fields, Uint8Array.of(1)));
    say(underlayOf('a').ipv4, udpPacket({ ...fields, from: '10.77.3.7' }, Uint8Array.of(1)));
    say(underlayOf('a').ipv4, udpPacket({ ...fields, from: '10.77.2.7' }, Uint8Array.of(1)));
    say(underlayOf('a').ipv4, udpPacket(fields, Uint8Array.of(1)).subarray(0, 25));
    const grown = await eventually('four datagrams are dropped', async () => {
      const now = await dropped();
      const counts = {
        unknownPeer: now.unknownPeer - before.unknownPeer,
        wrongSource: now.wrongSource - before.wrongSource,
        malformed: now.malformed - before.malformed,
      };
      return counts.unknownPeer + counts.wrongSource + counts.malformed >= 4 ? counts : undefined;
    });
    assert.deepEqual(grown, { unknownPeer: 1, wrongSource: 2, malformed: 1 });
  });

  test('an underlay that takes no more is waited for: the kernel drops, nothing grows, and all is well afterwards', async () => {
    const { status, stderr } = await a.run(
      ...words('tc qdisc add dev eth0 root tbf rate 5mbit burst 100kb limit 100mb'),
    );
    assert.equal(status, 0, stderr);
    const before = usageOf(await a.ready());
    const sentBefore = await packetsSentBy(a);
    const flood = `
      const socket = require('node:dgram').createSocket('udp4'), datagram = Buffer.alloc(1300);
      let left = 100_000;
      const send = () => {
        for (let count = 0; count < 64; count++) socket.send(datagram, 7777, '${target.ipv4}');
        if ((left -= 64) > 0) setImmediate(send);
        else socket.close();
      };
      send();`;
    assert.equal((await a.run(process.execPath, '-e', flood)).status, 0);
    const sent = (await packetsSentBy(a)) - sentBefore;
    assert.ok(sent < 90_000, `${sent} went through a link of 5 Mbit/s`);
    const [link] = JSON.parse((await a.run('ip', '-j', '-s', 'link', 'show', 'flannel0')).stdout) as [
      { readonly stats64: { readonly tx: { readonly dropped: number } } },
    ];
    assert.ok(link.stats64.tx.dropped > 0);
    const growth = usageOf(await a.ready()).anonymous - before.anonymous;
    assert.ok(growth < 64 << 20, `grew by ${growth} bytes`);
    await a.run(...words('tc qdisc del dev eth0 root'));
    await untilAnswered(target.ipv4);
  });

  test('a table of 5,000 routes is one of them at work', async () => {
    const routes = Array.from({ length: 5000 }, (_, index) => ({
      subnet: Prefix.parse(`10.${100 + (index >> 8)}.${index & 255}.0/24`),
      remote: Ip.parse(`198.51.${index >> 8}.${index & 255}`),
      port: PORT,
    }));
    a.forwarder.setTable({ ...tableOf('a'), routes: [...routes, ...tableOf('a').routes] });
    await eventually('all are there', async () => (await statsOf(a)).routes.length === 5002);
    await untilAnswered(target.ipv4);
    a.forwarder.setTable(tableOf('a'));
    await eventually('they are gone', async () => (await statsOf(a)).routes.length === 2);
  });

  test('the end of who started it loses no packet, and the next one adopts it', async () => {
    const pid = await a.ready();
    const lost = lostEchoes({ from: a.path, to: target.ipv4, count: 50, interval: 20 });
    await a.leave();
    a.manage();
    a.forwarder.setTable(tableOf('a'));
    assert.equal(await a.ready(), pid);
    assert.equal(a.forwarder.state.value.starts, 0);
    assert.equal(await lost, 0);
  });

  test('one that is killed is replaced, and the device stays with all that is on it', async () => {
    const pid = await a.ready();
    const link = await a.run('ip', '-o', 'link', 'show', 'flannel0');
    process.kill(pid, 'SIGKILL');
    await a.forwarder.state.until(
      state => state.pid !== undefined && state.pid !== pid,
      deadline('another one runs'),
    );
    await untilAnswered(target.ipv4);
    const index = /^\d+/;
    assert.equal(
      index.exec((await a.run('ip', '-o', 'link', 'show', 'flannel0')).stdout)?.[0],
      index.exec(link.stdout)?.[0],
    );
  });

  test('one that hangs is ended by the next', async () => {
    const pid = await b.ready();
    await b.leave();
    process.kill(pid, 'SIGSTOP');
    await takeOverFrom(b);
    assert.notEqual(await b.ready(), pid);
  });

  test('one that hangs under its manager is noticed, named and replaced', async () => {
    const pid = await b.ready();
    const { state } = b.forwarder;
    process.kill(pid, 'SIGSTOP');
    const { lastError } = await state.until(now => now.pid !== pid, deadline('it is noticed'));
    assert.match(lastError ?? '', /^no answer from the forwarder within \d+ s$/);
    await b.ready();
    await untilAnswered(target.ipv4);
  });

  test('one whose control socket and file were deleted is found and replaced', async () => {
    const pid = await b.ready();
    await b.leave();
    rmSync(b.control);
    // Of a later life of the machine, by another process: this one began long before.
    writeFileSync(`${b.control}.pid`, '{"pid":1,"started":999999999999}');
    await takeOverFrom(b);
    assert.notEqual(await b.ready(), pid);
  });

  test('a device that another program holds, and a port: both are named with the program', async () => {
    const pid = await b.ready();
    const other = (script: string) =>
      start(process.execPath, ['-e', `${script}; setTimeout(() => {}, 60_000)`], {
        namespaces: { net: b.path },
        pipeOutput: true,
      });
    const { ipv4 } = underlayOf('b');
    await b.leave();
    await stopForwarder(b.control);
    const socket = await other(
      `require('node:dgram').createSocket('udp4').bind(${PORT}, '${ipv4}', () => console.log('bound'))`,
    );
    try {
      await within('the socket is open', once(socket.stdout as Readable, 'data'));
      b.manage();
      const { state } = b.forwarder;
      const failed = await state.until(now => now.lastError !== undefined, deadline('it has failed'));
      assert.equal(
        failed.lastError,
        `the forwarder ended with status 1: bind ${ipv4}:${PORT}: address already in use (EADDRINUSE)`,
      );
      assert.equal(failed.hint, 'another program listens there: see `ss -lunp`');
    } finally {
      socket.kill('SIGKILL');
      await socket.exited;
    }
    b.forwarder.setTable(tableOf('b'));
    assert.notEqual(await b.ready(), pid);
    assert.throws(
      () => b.netns.run(() => openTun('flannel0')),
      ({ message, hint }: SysError) =>
        /^TUNSETIFF flannel0: [^:]+ \(EBUSY\)$/.test(message) &&
        hint?.endsWith(` (process ${b.forwarder.state.value.pid}) has the device open: end it first`) ===
          true,
    );
  });

  test('one whose directory was deleted with all that is in it is replaced when it ends', async () => {
    const pid = await b.ready();
    rmSync(b.directory, { recursive: true });
    process.kill(pid, 'SIGKILL');
    await b.forwarder.state.until(
      now => now.pid !== undefined && now.pid !== pid,
      deadline('another one runs'),
    );
    await untilAnswered(target.ipv4);
  });

  test('what is no packet or no request is ignored', async () => {
    const noise = Array.from({ length: 200 }, () => randomBytes(1 + (randomBytes(1)[0] ?? 0) * 5));
    const cut = ipPacket({ from: '10.77.1.7', to: target.ipv4, protocol: 6 }, new Uint8Array(21));
    a.netns.run(() => {
      const fd = openUdpSocket(underlayOf('a').ipv4, 0);
      for (const datagram of [...noise, new Uint8Array(), cut])
        sendto(fd, datagram, socketAddress(underlayOf('b').ipv4, PORT));
      close(fd);
    });
    using client = await ForwarderClient.connect(b.control);
    await assert.rejects(
      client.setRoute({ subnet: Prefix.parse('10.1.0.0/24'), remote: Ip.parse('192.0.2.1'), port: 70_000 }),
      /FORWARDER_REFUSED|route\.port/,
    );
    await untilAnswered(target.ipv4);
  });

  /** A device that has just come drops what is sent before the kernel has noticed its carrier. */
  function untilAnswered(address: string): Promise<boolean> {
    return eventually(
      `${address} answers`,
      async () => (await a.run('ping', '-c1', '-W5', address)).status === 0,
    );
  }

  async function goOver(family: 'ipv4' | 'ipv6'): Promise<void> {
    for (const host of pair.hosts) host.forwarder.setTable(tableOf(host.name, family));
    await Promise.all(pair.hosts.map(host => routesVia(host, family)));
  }

  /** The next manager, which waits for the hanging one until its patience is over. */
  async function takeOverFrom(host: ForwarderHost): Promise<void> {
    host.manage();
    host.forwarder.setTable(tableOf(host.name));
    await host.ready();
    await untilAnswered(target.ipv4);
  }
});

const words = (line: string) => line.split(' ') as [string, ...string[]];

const SIZE = 8 << 20;

/** Sends a file of random bytes over TCP and compares what arrived. */
async function transfer(from: ForwarderHost, to: ForwarderHost, address: string): Promise<void> {
  const bytes = randomBytes(SIZE);
  const file = join(from.directory, 'transfer');
  writeFileSync(file, bytes);
  const receiver = `
    const net = require('node:net'), hash = require('node:crypto').createHash('sha256');
    net.createServer(socket => {
      socket.on('data', data => hash.update(data)).on('end', () => socket.end(hash.digest('hex'))).on('close', () => process.exit());
    }).listen(7000, '${address}', () => console.log('ready'));`;
  const sender = `
    const net = require('node:net'), fs = require('node:fs');
    const connect = () => {
      const socket = net.connect(7000, '${address}', () => fs.createReadStream('${file}').pipe(socket));
      socket.on('data', data => process.stdout.write(data)).on('end', () => process.exit());
      socket.on('error', error => { if (error.code !== 'ECONNREFUSED') throw error; setTimeout(connect, 20); });
    };
    connect();`;
  const receiving = to.run(process.execPath, '-e', receiver);
  const { stdout, stderr } = await from.run(process.execPath, '-e', sender);
  assert.equal(stdout, createHash('sha256').update(bytes).digest('hex'), stderr);
  await receiving;
}

async function statsOf(host: ForwarderHost): Promise<ForwarderStats> {
  using client = await ForwarderClient.connect(host.control);
  return await client.stats();
}

/** To all its peers. */
const packetsSentBy = async (host: ForwarderHost): Promise<number> =>
  (await statsOf(host)).routes.reduce((sum, { sentPackets }) => sum + sentPackets, 0);

/** Waits until every route of a host goes over this family of the underlay. */
async function routesVia(host: ForwarderHost, over: 'ipv4' | 'ipv6'): Promise<void> {
  await eventually(`routes of ${host.name} over ${over}`, async () =>
    (await statsOf(host)).routes.every(({ remote }) => Ip.parse(remote).family === over),
  );
}
