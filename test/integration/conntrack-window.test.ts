/** A connection whose packets were not tracked for a while, on a host that drops what connection tracking calls invalid. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { written } from '../../src/base/bytes.ts';
import { Ip } from '../../src/base/ip.ts';
import { NetlinkConnection } from '../../src/netlink/connection.ts';
import { connectConntrack } from '../../src/netlink/netfilter/connect-conntrack.ts';
import {
  askConnections,
  type ConnectionTuple,
  conntrackMessage,
} from '../../src/netlink/netfilter/conntrack.ts';
import { NETFILTER_PROTOCOL } from '../../src/netlink/netfilter/protocol.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../src/sys/netlink-socket.ts';
import type { Netns } from '../../src/sys/netns.ts';
import { bindTcpSocket } from '../../src/sys/tcp-socket.ts';
import { needsRoot } from '../support/capabilities.ts';
import { deadline, eventually } from '../support/eventually.ts';
import { neighbourhood } from '../support/neighbourhood.ts';
import { connectTcp } from '../support/source-server.ts';

const PORT = 5555;
/** More than any window of TCP here (net.ipv4.tcp_rmem). */
const BEYOND = 64 << 20;
/** Milliseconds until a connection that must be stuck is taken to be. */
const STUCK = 1500;
const IPPROTO_TCP = 6;

/** A connection of the container to the world through the host, of which each packet is tracked. */
async function connected(t: TestContext) {
  const { host, container, outside } = await neighbourhood(t);
  await outside.do('ip route add 10.3.5.0/24 via 192.0.2.1');
  await host.do(
    'nft add table inet t',
    'nft add chain inet t raw { type filter hook prerouting priority raw ; }',
    'nft add chain inet t forward { type filter hook forward priority 0 ; }',
    'nft add rule inet t forward ct state invalid drop',
  );
  const server = createServer({ allowHalfOpen: true });
  server.listen({ fd: outside.netns.run(() => bindTcpSocket(Ip.parse('192.0.2.2'), PORT, 1400)) });
  t.after(() => server.close());
  const client = connectTcp(container.netns, Ip.parse('192.0.2.2'), PORT);
  const [served] = (await once(server, 'connection')) as [Socket];
  for (const socket of [client, served]) {
    socket.on('error', () => undefined);
    t.after(() => socket.destroy());
  }
  const tuple: ConnectionTuple = {
    source: Ip.parse('10.3.5.2'),
    destination: Ip.parse('192.0.2.2'),
    sourcePort: served.remotePort ?? 0,
    destinationPort: PORT,
  };
  const conntrack = connectConntrack(host.netns);
  t.after(() => conntrack[Symbol.asyncDispose]());
  return {
    host,
    client,
    served,
    tuple,
    conntrack,
    untracked: async (work: () => Promise<void>) => {
      await host.do('nft add rule inet t raw notrack');
      await work();
      await host.do('nft flush chain inet t raw');
    },
  };
}

/** Whether as many bytes arrive as are sent, within so many milliseconds. */
async function carries(from: Socket, to: Socket, bytes: number, patience = 60_000): Promise<boolean> {
  let left = bytes;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const count = (chunk: Uint8Array) => {
    left -= chunk.byteLength;
    if (left === 0) resolve(true);
  };
  to.on('data', count);
  from.write(new Uint8Array(bytes));
  const deadline = setTimeout(resolve, patience, false);
  const all = await promise;
  clearTimeout(deadline);
  to.off('data', count);
  return all;
}

const arrives = (socket: Socket, event: 'end' | 'error') =>
  once(socket, event, { signal: deadline(`the connection has its ${event}`) }).then(
    () => true,
    error => event === 'error' && (error as NodeJS.ErrnoException).code === 'ECONNRESET',
  );

/** What the kernel knows of the only TCP connection. */
async function entry(netns: Netns) {
  const socket = NetlinkSocket.open(netns, [], NETLINK_NETFILTER);
  await using connection = new NetlinkConnection(socket, NETFILTER_PROTOCOL);
  const { what, type, write } = askConnections({ family: 'ipv4', protocol: IPPROTO_TCP, port: PORT });
  const found: ReturnType<typeof conntrackMessage.decode>['attributes'][] = [];
  await connection.dump([{ what, type, payload: written(write) }], {
    begin: () => found.splice(0),
    each: ({ payload }) => found.push(conntrackMessage.decode(payload).attributes),
  });
  assert.equal(found.length, 1);
  return found[0];
}

/** Of include/uapi/linux/netfilter/nf_conntrack_tcp.h. */
const CLOSE = 8;
const LIBERAL = 0x08;
const STICKY = 0x30;

test('without it the connection is stuck', needsRoot, async t => {
  const { client, served, untracked } = await connected(t);
  assert.ok(await carries(client, served, 1));
  await untracked(async () => assert.ok(await carries(client, served, BEYOND)));
  assert.equal(await carries(client, served, 1, STUCK), false);
});

for (const direction of ['original', 'reply'] as const)
  test(
    `with any window accepted it goes on and ends, told by the tuple of the ${direction} direction`,
    needsRoot,
    async t => {
      const { host, client, served, untracked, conntrack, tuple } = await connected(t);
      assert.ok(await carries(client, served, 1));
      const before = await entry(host.netns);
      const { source, destination, sourcePort, destinationPort } = tuple;
      const back = {
        source: destination,
        destination: source,
        sourcePort: destinationPort,
        destinationPort: sourcePort,
      };
      const unknown = { ...tuple, sourcePort: 1 };
      const results = await conntrack.acceptAnyWindow([
        unknown,
        direction === 'original' ? tuple : back,
        unknown,
      ]);
      assert.deepEqual(
        results.map(error => error?.code),
        ['ENOENT', undefined, 'ENOENT'],
      );
      const after = await entry(host.netns);
      assert.deepEqual(
        after?.protocolInfo?.tcp?.unknown,
        before?.protocolInfo?.tcp?.unknown,
        'state and scales stay',
      );
      assert.equal(after?.id, before?.id);
      for (const flags of ['originalFlags', 'replyFlags'] as const) {
        const [was, is] = [before, after].map(one => one?.protocolInfo?.tcp?.[flags]?.flags ?? 0);
        assert.equal(is, ((was ?? 0) | LIBERAL) & ~STICKY);
      }
      await untracked(async () => assert.ok(await carries(client, served, BEYOND)));
      assert.ok(await carries(client, served, 1));
      assert.ok(await carries(served, client, 1));
      const [fin, answered] = [arrives(served, 'end'), arrives(client, 'end')];
      client.end();
      assert.ok(await fin);
      served.end();
      assert.ok(await answered);
    },
  );

test('a reset passes, and ends what is tracked', needsRoot, async t => {
  const { host, client, served, untracked, conntrack, tuple } = await connected(t);
  assert.ok(await carries(client, served, 1));
  assert.deepEqual(await conntrack.acceptAnyWindow([tuple]), [undefined]);
  await untracked(async () => assert.ok(await carries(client, served, BEYOND)));
  assert.ok(await carries(client, served, 1));
  // The window that is known stays where it was, and what stands in the way of a reset is gone for good.
  assert.deepEqual(await conntrack.acceptAnyWindow([tuple]), [undefined]);
  assert.ok(await carries(client, served, 1));
  const reset = arrives(served, 'error');
  client.resetAndDestroy();
  assert.ok(await reset);
  assert.equal((await entry(host.netns))?.protocolInfo?.tcp?.state, CLOSE);
});

test('an idle connection whose acknowledgements were not seen is not forgotten early', needsRoot, async t => {
  const { host, client, served, conntrack, tuple } = await connected(t);
  assert.ok(await carries(client, served, 1));
  // What arrives is acknowledged a moment later.
  await eventually(
    'everything is acknowledged',
    async () => (await conntrack.keepIdle(tuple, 432_000)) === false,
  );
  assert.equal(await conntrack.keepIdle({ ...tuple, sourcePort: 1 }, 432_000), false, 'nobody tracks it');
  assert.deepEqual(await conntrack.acceptAnyWindow([tuple]), [undefined]);
  // The answers alone are not seen.
  await host.do('nft add rule inet t raw iifname o notrack');
  assert.ok(await carries(client, served, BEYOND));
  await host.do('nft flush chain inet t raw');
  assert.ok(await carries(client, served, 1));
  const soon = (await entry(host.netns))?.timeout ?? 0;
  assert.ok(soon <= 300, `${soon} seconds`);
  assert.equal(await conntrack.keepIdle(tuple, 432_000), true);
  const { timeout = 0, protocolInfo } = (await entry(host.netns)) ?? {};
  assert.ok(timeout > 431_000, `${timeout} seconds`);
  assert.equal(protocolInfo?.tcp?.state, 3);
  assert.equal(await conntrack.keepIdle(tuple, 432_000), false);
});
