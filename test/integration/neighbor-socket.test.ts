/**
 * What stations of a bridge say of themselves, on the real kernel.
 *
 *     host namespace:  bridge tb0 --- p1 === eth0 10.88.0.2, fd00:88::2 in a sandbox
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { Mac } from '../../src/base/mac.ts';
import { neighborProbe, readNeighborMessage } from '../../src/base/neighbor-messages.ts';
import { parseInterfaceAddress } from '../../src/base/prefix.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { ensureBridge } from '../../src/sandbox/bridge.ts';
import { attach } from '../../src/sandbox/endpoint.ts';
import { NeighborSocket } from '../../src/sys/neighbor-socket.ts';
import { Netns } from '../../src/sys/netns.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';
import { deadline } from '../support/eventually.ts';

const BRIDGE_MAC = Mac.parse('02:00:00:00:00:01');
const STATION_MAC = Mac.parse('02:00:00:00:00:02');

describe('the neighbor socket of a bridge', needsRoot, () => {
  for (const [family, address] of [
    ['ipv4', '10.88.0.2'],
    ['ipv6', 'fd00:88::2'],
  ] as const) {
    test(`gets the answer to a probe, and no data packet: ${family}`, () =>
      withStation(async ({ host, index, ping }) => {
        using socket = NeighborSocket.open(host, index, family);
        const ip = Ip.parse(address);
        await ping(family === 'ipv4' ? '10.88.0.1' : 'fd00:88::1');

        socket.send(neighborProbe(ip, BRIDGE_MAC));
        const claim = await claimOf(socket, ip);
        assert.equal(String(claim), String(STATION_MAC));
      }));
  }

  test('gets what a station asks', () =>
    withStation(async ({ host, index, ping }) => {
      using socket = NeighborSocket.open(host, index, 'ipv4');
      await assert.rejects(ping('10.88.0.77'));
      const messages = drain(socket);
      assert.ok(messages.some(({ wanted }) => wanted?.toString() === '10.88.0.77'));
      assert.ok(messages.every(({ claim }) => claim === undefined || claim.mac.equals(STATION_MAC)));
    }));

  test('fails when the link is gone', () =>
    withStation(async ({ host, index, route }) => {
      using socket = NeighborSocket.open(host, index, 'ipv4');
      const late = deadline('the socket reports that its link is gone');
      const failed = (async () => {
        // What the kernel has sent before may be there first.
        for (;;) {
          await socket.readable(late);
          while (socket.receive() !== undefined);
        }
      })();
      const refused = assert.rejects(failed, { code: 'ENETDOWN' });
      await route.links.delete('tb0');
      await refused;
    }));
});

async function claimOf(socket: NeighborSocket, ip: Ip): Promise<Mac> {
  const signal = deadline(`${ip} answers`);
  for (;;) {
    await socket.readable(signal);
    for (const { claim } of drain(socket)) if (claim?.ip.equals(ip)) return claim.mac;
  }
}

function drain(socket: NeighborSocket) {
  const messages: NonNullable<ReturnType<typeof readNeighborMessage>>[] = [];
  for (let frame = socket.receive(); frame !== undefined; frame = socket.receive()) {
    const message = readNeighborMessage(frame);
    assert.ok(message, `another frame came up: ${Buffer.from(frame).toString('hex')}`);
    messages.push(message);
  }
  return messages;
}

interface Station {
  readonly host: Netns;
  readonly route: ReturnType<typeof connectRoute>;
  readonly index: number;
  readonly ping: (to: string) => Promise<unknown>;
}

/** A host with a bridge and one station; all gone afterwards. */
async function withStation(body: (station: Station) => Promise<void>): Promise<void> {
  await using doors = new AsyncDisposableStack();
  const [host, sandbox] = [doors.use(Netns.anonymous()), doors.use(Netns.anonymous())];
  const route = doors.use(connectRoute({ netns: host }));
  const inside = doors.use(connectRoute({ netns: sandbox }));
  const index = await ensureBridge(route, {
    name: 'tb0',
    mac: BRIDGE_MAC,
    addresses: ['10.88.0.1/24', 'fd00:88::1/64'].map(parseInterfaceAddress),
    mtu: 1450,
  });
  await attach(
    route,
    { netns: sandbox, route: inside },
    {
      hostLink: 'p1',
      bridge: 'tb0',
      sandboxLink: 'eth0',
      addresses: ['10.88.0.2/24', 'fd00:88::2/64'].map(parseInterfaceAddress),
      routes: [],
      mtu: 1450,
      mac: STATION_MAC,
    },
  );
  const net = `/proc/${process.pid}/fd/${sandbox.fd}`;
  const ping = (to: string) => run('ping', ['-n', '-q', '-c', '1', '-W', '10', to], { namespaces: { net } });
  await body({ host, route, index, ping });
}
