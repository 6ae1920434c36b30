/** Entries of a table that is not the kernel's, with everything that can go wrong with the program that holds them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import { DEVICE, FakeHost, fakePeer } from '../testing/dataplane/fake-host.ts';
import { MemoryTable } from '../testing/dataplane/memory-table.ts';
import type { DesiredPeer } from './desired.ts';

/** Peer n, whose host receives packets for 10.3.n.0/24 on a UDP port. */
function tunneled(n: number, port = 8285): DesiredPeer {
  const peer = fakePeer(n);
  const paths = peer.paths.map(path => {
    const { subnet, underlayIp: destination } = path;
    const tunnel = { kind: 'tunnel', subnet, destination, port } as const;
    return { ...path, entries: [tunnel, { kind: 'route', destination: subnet } as const] };
  });
  return { ...peer, paths };
}

const [SUBNET_1, SUBNET_9] = [Prefix.parse('10.3.1.0/24'), Prefix.parse('10.3.9.0/24')];
const line = (n: number, port = 8285) => `${DEVICE} 10.3.${n}.0/24 to 192.168.65.10${n}:${port}`;
const IN_SYNC = [line(1), line(2)].join('\n');
const PEERS = [tunneled(1), tunneled(2)];

/** A host with two peers in its table. */
async function begin(): Promise<{ host: FakeHost; table: MemoryTable } & AsyncDisposable> {
  const table = new MemoryTable();
  const host = new FakeHost({ stores: { tunnel: table } });
  const { inSync, failures } = await host.begin(PEERS);
  assert.deepEqual({ inSync, failures }, { inSync: true, failures: [] });
  assert.equal(table.show(), IN_SYNC);
  return { host, table, [Symbol.asyncDispose]: () => host[Symbol.asyncDispose]() };
}

const objects = ({ repairs }: FakeHost) =>
  repairs.map(({ object, action, peer }) => `${object} ${action} ${peer ?? ''}`.trim()).sort();

describe('a table of another program', () => {
  test('is written in batches, changed and emptied, and counts like any other', async () => {
    await using running = await begin();
    const { host, table } = running;
    assert.deepEqual(table.batches, [2]);
    assert.match(host.show(), /^10\.3\.1\.0\/24 dev flannel\.88 proto 77 scope link$/m);
    assert.deepEqual(host.repairs, []);
    const { writes, wanted, inSync } = host.plane.report();
    assert.deepEqual([writes - host.writes, wanted, inSync], [2, 7, true]);
    assert.deepEqual(
      host.network.peerReport('10.3.1.0-24')?.actual[0],
      host.network.peerReport('10.3.1.0-24')?.desired[0],
    );

    host.network.setPeer(tunneled(1, 9000));
    host.network.removePeer('10.3.2.0-24');
    assert.equal((await host.plane.apply()).writes, 3, 'one entry is replaced, one removed with its route');
    assert.equal(table.show(), line(1, 9000));
    assert.equal((await host.plane.resync('test')).writes, 0);
    await host.plane[Symbol.asyncDispose]();
    assert.equal(table.isWatched, false);
  });

  test('is filled again when the program was started anew', async () => {
    await using running = await begin();
    const { host, table } = running;
    table.restart();
    assert.equal(host.network.report().inSync, false);
    const { reads } = table;
    await host.pass(100);
    assert.equal(table.show(), IN_SYNC);
    assert.equal(table.reads, reads, 'it is known to be empty');
    assert.deepEqual(objects(host), ['tunnel restored 10.3.1.0-24', 'tunnel restored 10.3.2.0-24']);
    assert.equal(host.plane.report().driftRepairs.tunnel, 2);
  });

  test('is repaired when others change it, and what nobody wants is removed', async () => {
    await using running = await begin();
    const { host, table } = running;
    const stray = { subnet: SUBNET_9, destination: Ip.parse('192.0.2.1'), port: 1 };
    table.damage(DEVICE, SUBNET_9, stray, 'another link');
    await host.pass(100);
    assert.notEqual(table.show(), IN_SYNC, 'nothing was said of this link');
    table.damage(DEVICE, SUBNET_1, { ...stray, subnet: SUBNET_1 });
    await host.pass(100);
    assert.equal(table.show(), IN_SYNC);
    assert.deepEqual(objects(host), ['tunnel removed', 'tunnel replaced 10.3.1.0-24']);
  });

  test('an entry that is refused fails alone, and is tried again', async () => {
    await using running = await begin();
    const { host, table } = running;
    table.refuse(({ entry }) => entry?.port === 9001, 3);
    host.network.setPeers([tunneled(1, 9001), tunneled(2, 9002)]);
    const { inSync, failures } = await host.plane.apply();
    assert.equal(inSync, false);
    assert.deepEqual(failures, [
      'tunnel 10.3.1.0/24 to 192.168.65.101 port 9001 dev flannel.88: the forwarder has no room',
    ]);
    assert.equal(table.show(), [line(1), line(2, 9002)].join('\n'));
    const report = host.network.peerReport('10.3.1.0-24');
    assert.deepEqual([report?.state, report?.reason], ['failed', 'the forwarder has no room']);
    assert.equal(host.network.peerReport('10.3.2.0-24')?.state, 'ok');
    await host.pass(10_000);
    assert.equal(table.show(), [line(1, 9001), line(2, 9002)].join('\n'));
    assert.equal(host.plane.report().inSync, true);
  });

  test('a program that does not answer delays nothing else, and is told everything when it is back', async () => {
    await using running = await begin();
    const { host, table } = running;
    table.crash();
    host.network.setPeers([tunneled(1), tunneled(3)]);
    const { inSync, failures } = await host.plane.apply();
    assert.equal(inSync, false);
    assert.deepEqual(failures, [
      'tunnel entries dev flannel.88: cannot be read: the forwarder does not answer',
    ]);
    assert.match(host.show(), /^10\.3\.3\.0\/24 dev flannel\.88/m, 'the route is made');
    const { state, reason } = host.network.peerReport('10.3.3.0-24') ?? {};
    assert.deepEqual([state, reason], ['failed', 'cannot be read: the forwarder does not answer']);
    const rounds = host.rounds.length;
    await host.pass(60_000);
    assert.ok(host.rounds.length - rounds < 20, 'less and less often');
    table.restart();
    await host.pass(100);
    assert.equal(table.show(), [line(1), line(3)].join('\n'));
    assert.equal(host.plane.report().inSync, true);
  });

  test('what is lost while it is written is written again', async () => {
    const table = new MemoryTable();
    await using host = new FakeHost({ stores: { tunnel: table } });
    await host.begin(PEERS);
    let isFirst = true;
    table.refuse(() => {
      if (isFirst) {
        isFirst = false;
        table.restart();
      }
      return false;
    });
    host.network.setPeer(tunneled(3));
    await host.plane.apply();
    await host.pass(100);
    assert.equal(table.show(), [line(1), line(2), line(3)].join('\n'));
    assert.equal(host.plane.report().inSync, true);
  });

  test('what is lost while it is read is read again, and what is lost silently is found by a comparison', async () => {
    await using running = await begin();
    const { host, table } = running;
    let isFirst = true;
    table.onRead = () => {
      if (isFirst) table.restart();
      isFirst = false;
    };
    await host.plane.resync('test');
    await host.pass(100);
    assert.equal(table.show(), IN_SYNC);
    table.loseSilently();
    await host.pass(1000);
    assert.equal(table.show(), '');
    await host.plane.resync('test');
    assert.equal(table.show(), IN_SYNC);
  });

  test('is written anew when the link was made anew', async () => {
    await using running = await begin();
    const { host, table } = running;
    await host.others.links.delete(DEVICE);
    table.restart();
    await host.pass(1000);
    assert.equal(table.show(), IN_SYNC);
    assert.equal(host.plane.report().inSync, true);
  });

  test('without a store its entries fail, and say why', async () => {
    await using host = new FakeHost();
    const { inSync, failures } = await host.begin(PEERS);
    assert.equal(inSync, false);
    assert.match(
      failures[0] ?? '',
      /^tunnel 10\.3\.1\.0\/24 .*: no program that forwards packets in user space runs for flannel\.88$/,
    );
    assert.equal(host.network.peerReport('10.3.1.0-24')?.state, 'failed');
  });
});
