/**
 * What L2 networks must do on every store, as cases that a test runs against a store of its own choice:
 *
 *     for (const { name, run } of segmentCases) test(name, () => run(() => new MemoryStore(database)));
 *
 * `connect` gives another connection to one empty store.
 */
import assert from 'node:assert/strict';
import { Ip } from '../../src/base/ip.ts';
import type { Store } from '../../src/store/store.ts';
import { addSegment, releaseHost, removeSegment } from '../../src/subnet/segment/administration.ts';
import { rangeHolding, rangesOfHost, type SegmentsSnapshot } from '../../src/subnet/segment/segment.ts';
import { SegmentError } from '../../src/subnet/segment/segment-error.ts';
import { deadline } from './eventually.ts';
import { endpointOf, memberOf, registryOf, SegmentHostFixture } from './segments.ts';

export interface SegmentCase {
  readonly name: string;
  readonly run: (connect: () => Store) => Promise<void>;
}

const BLUE = { name: 'blue', subnets: ['10.9.0.0/16'] };

/** Waits until a host sees what it should. */
export async function until(
  host: SegmentHostFixture,
  what: string,
  test: (snapshot: SegmentsSnapshot) => boolean,
): Promise<SegmentsSnapshot> {
  for await (const snapshot of host.watch.changes(AbortSignal.any([host.signal, deadline(what)]))) {
    if (test(snapshot)) return snapshot;
  }
  throw new Error(`not seen: ${what}`);
}

const refusedBy = (code: string, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof SegmentError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, text);
  return true;
};

export const segmentCases: readonly SegmentCase[] = [
  {
    name: 'a network is seen by a host with its members, endpoints and ranges, as they come and go',
    async run(connect) {
      await using store = connect();
      const registry = registryOf(store);
      await using host = new SegmentHostFixture(1, connect());
      const empty = await until(host, 'nothing', () => true);
      assert.equal(empty.segments.size, 0);

      const blue = await addSegment(registry, BLUE);
      await until(host, 'blue', ({ segments }) => segments.has('blue'));
      const { id: lease } = await store.grant(60);
      await registry.join(blue, memberOf(2), lease);
      await registry.claimEndpoints(blue, [endpointOf(2, '10.9.1.2'), endpointOf(2, '10.9.1.3')], lease);
      const range = await registry.leaseRange(blue, 'ipv4', { hostId: 'host-2', hostName: 'docker2' });
      assert.equal(`${range.block}`, '10.9.1.0/24');

      const full = await until(host, 'all of it', ({ segments }) => segments.get('blue')?.ranges.size === 1);
      const seen = full.segments.get('blue');
      assert.ok(seen);
      assert.equal(`${seen.members.get('host-2')?.addresses.ipv4}`, '192.168.65.2');
      assert.deepEqual(
        [...seen.endpoints.values()].map(({ ip, container, hostName }) => `${ip} ${container} ${hostName}`),
        ['10.9.1.2 c2 docker2', '10.9.1.3 c3 docker2'],
      );
      assert.equal(rangeHolding(seen, Ip.parse('10.9.1.77'))?.hostName, 'docker2');
      assert.equal(rangesOfHost(seen, 'host-2').length, 1);

      await registry.leave(blue, 'host-2');
      await registry.releaseEndpoints(blue, [Ip.parse('10.9.1.2'), Ip.parse('10.9.1.9')], 'host-2');
      await registry.releaseRange(blue, range);
      const left = await until(host, 'an end', ({ segments }) => segments.get('blue')?.ranges.size === 0);
      assert.equal(left.segments.get('blue')?.members.size, 0);
      assert.equal(left.segments.get('blue')?.endpoints.size, 1);

      // What hangs on a store lease ends with it.
      await store.revoke(lease);
      await until(host, 'the end of the lease', ({ segments }) => segments.get('blue')?.endpoints.size === 0);
      await removeSegment(registry, 'blue');
      await until(host, 'nothing again', ({ segments }) => segments.size === 0);
    },
  },
  {
    name: 'an address that another container has is refused with the name of the owner, and none is taken then',
    async run(connect) {
      await using store = connect();
      const registry = registryOf(store);
      const blue = await addSegment(registry, BLUE);
      const { id: lease } = await store.grant(60);
      await registry.claimEndpoints(blue, [endpointOf(1, '10.9.1.2', 'web')], lease);
      const two = [endpointOf(2, '10.9.1.3'), endpointOf(2, '10.9.1.2')];
      await assert.rejects(
        registry.claimEndpoints(blue, two, lease),
        refusedBy('DUPLICATE_ADDRESS', /^10\.9\.1\.2 in the network blue is the address of web on docker1$/),
      );
      assert.equal((await registry.get('blue')).endpoints.size, 1);
      // The host itself knows who of its containers has it.
      const again = { ...endpointOf(1, '10.9.1.2', 'web'), mac: endpointOf(1, '10.9.1.99').mac };
      await registry.claimEndpoints(blue, [again], lease);
      const [found] = (await registry.get('blue')).endpoints.values();
      assert.equal(`${found?.mac}`, `${again.mac}`);
      // Another host frees nothing.
      await registry.releaseEndpoints(blue, [again.ip], 'host-2');
      assert.equal((await registry.get('blue')).endpoints.size, 1);
    },
  },
  {
    name: 'one of several hosts that want an address at once gets it',
    async run(connect) {
      await using store = connect();
      const registry = registryOf(store);
      const blue = await addSegment(registry, BLUE);
      const { id: lease } = await store.grant(60);
      const claims = Array.from({ length: 8 }, (_, at) =>
        registry.claimEndpoints(blue, [endpointOf(at + 1, '10.9.1.2')], lease),
      );
      const results = await Promise.allSettled(claims);
      assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
    },
  },
  {
    name: 'hosts that want a range at once get one each, and the last of them none',
    async run(connect) {
      await using store = connect();
      let seed = 0;
      const registry = registryOf(store, () => (seed = (seed + 0.37) % 1));
      const blue = await addSegment(registry, { name: 'blue', subnets: ['10.9.0.0/28'] });
      const leased = await Promise.all(
        [1, 2, 3].map(number => registry.leaseRange(blue, 'ipv4', { hostId: `host-${number}` })),
      );
      const blocks = leased.map(({ block }) => `${block}`).sort();
      assert.deepEqual(blocks, ['10.9.0.12/30', '10.9.0.4/30', '10.9.0.8/30']);
      await assert.rejects(
        registry.leaseRange(blue, 'ipv4', { hostId: 'host-4' }),
        refusedBy('EXHAUSTED_RANGES', /every \/30 of 10\.9\.0\.0\/28 in the network blue is leased/),
      );
      // A range stays its host's without expiry, and another host gives none of it back.
      const [range] = leased;
      assert.ok(range);
      await registry.releaseRange(blue, { ...range, hostId: 'host-4' });
      assert.equal((await registry.get('blue')).ranges.size, 3);
      await releaseHost(registry, 'blue', range.hostId);
      const next = await registry.leaseRange(blue, 'ipv4', { hostId: 'host-4' });
      assert.equal(`${next.block}`, `${range.block}`);
    },
  },
  {
    name: 'nothing is written below a network that was deleted, or made again under its name',
    async run(connect) {
      await using store = connect();
      const registry = registryOf(store);
      const former = await addSegment(registry, BLUE);
      await removeSegment(registry, 'blue');
      const { id: lease } = await store.grant(60);
      const nothingIsWritten = async () => {
        const refused = refusedBy('NOT_FOUND', /no network blue/);
        await assert.rejects(registry.join(former, memberOf(1), lease), refused);
        await assert.rejects(registry.claimEndpoints(former, [endpointOf(1, '10.9.1.2')], lease), refused);
        await assert.rejects(registry.leaseRange(former, 'ipv4', { hostId: 'host-1' }), refused);
      };
      await nothingIsWritten();
      const next = await addSegment(registry, BLUE);
      assert.notEqual(next.id, former.id);
      await nothingIsWritten();
      const { members, endpoints, ranges } = await registry.get('blue');
      assert.deepEqual([members.size, endpoints.size, ranges.size], [0, 0, 0]);
    },
  },
  {
    name: 'a network with containers on it is deleted only by force, and nothing of it stays',
    async run(connect) {
      await using store = connect();
      const registry = registryOf(store);
      const blue = await addSegment(registry, BLUE);
      const { id: lease } = await store.grant(60);
      await registry.join(blue, memberOf(1), lease);
      for (const third of [1, 2]) {
        const many = Array.from({ length: 60 }, (_, at) => endpointOf(1, `10.9.${third}.${at + 1}`));
        await registry.claimEndpoints(blue, many, lease);
      }
      await assert.rejects(
        removeSegment(registry, 'blue'),
        refusedBy(
          'IN_USE',
          /^containers are on the network blue: c1 on docker1 \(10\.9\.1\.1\), .*, 115 more$/,
        ),
      );
      await removeSegment(registry, 'blue', { force: true });
      const { kvs } = await store.list(registry.keys.directory);
      assert.deepEqual([...kvs, ...(await store.list(registry.keys.vnis)).kvs], []);
      await assert.rejects(removeSegment(registry, 'blue'), refusedBy('NOT_FOUND', /no network blue/));
    },
  },
  {
    name: 'of two networks with overlapping subnets that are made at once one stays',
    async run(connect) {
      await using store = connect();
      const registry = registryOf(store);
      const made = await Promise.allSettled([
        addSegment(registry, BLUE, { random: () => 0.1 }),
        addSegment(registry, { name: 'green', subnets: ['10.9.128.0/20'] }, { random: () => 0.2 }),
        addSegment(registry, { ...BLUE, name: 'red' }, { random: () => 0.3 }),
      ]);
      assert.equal(made.filter(({ status }) => status === 'fulfilled').length, 1);
      assert.equal((await registry.list()).segments.size, 1);
      assert.equal((await store.list(registry.keys.vnis)).kvs.length, 1);
      await assert.rejects(
        addSegment(registry, { ...BLUE, name: [...(await registry.list()).segments.keys()][0] ?? '' }),
        refusedBy('EXISTS', /already/),
      );
    },
  },
  {
    name: 'two networks that are made at once get two VNIs',
    async run(connect) {
      await using store = connect();
      const registry = registryOf(store);
      // Both draw the same one first.
      const made = await Promise.all([
        addSegment(registry, BLUE, { random: () => 0 }),
        addSegment(registry, { name: 'green', subnets: ['10.8.0.0/16'] }, { random: () => 0 }),
      ]);
      assert.deepEqual(new Set(made.map(({ vni }) => vni)), new Set([0xe00000, 0xe00001]));
    },
  },
  {
    name: 'what a host has is published, found again after a restart, and written again when it was deleted',
    async run(connect) {
      await using store = connect();
      const registry = registryOf(store);
      const blue = await addSegment(registry, BLUE);
      const published = ({ segments }: SegmentsSnapshot) =>
        segments.get('blue')?.members.size === 1 && segments.get('blue')?.endpoints.size === 2;
      let lease: bigint | undefined;
      {
        await using host = new SegmentHostFixture(1, connect());
        host.presence.setMember(blue, memberOf(1));
        host.presence.setEndpoints(blue, [endpointOf(1, '10.9.1.2')]);
        await until(host, 'the network', ({ segments }) => segments.has('blue'));
        assert.equal(await host.presence.add(blue, [endpointOf(1, '10.9.1.3')]), 'published');
        await until(host, 'what it has published', published);
        await store.delete(registry.keys.endpoint('blue', Ip.parse('10.9.1.2')));
        await store.delete(registry.keys.member('blue', 'host-1'));
        const { revision } = await store.get(registry.keys.vnis);
        const after = await until(host, 'it is written again', snapshot => {
          return snapshot.revision >= revision && published(snapshot);
        });
        lease = after.segments.get('blue')?.members.get('host-1')?.storeLease;
      }
      await using host = new SegmentHostFixture(1, connect());
      host.presence.setMember(blue, memberOf(1));
      host.presence.setEndpoints(blue, [endpointOf(1, '10.9.1.3')]);
      const snapshot = await until(host, 'what it has not any more is gone', ({ segments }) => {
        return segments.get('blue')?.endpoints.size === 1;
      });
      assert.equal(snapshot.segments.get('blue')?.members.get('host-1')?.storeLease, lease);
      host.presence.setMember(blue, null);
      await until(host, 'it has left', ({ segments }) => segments.get('blue')?.members.size === 0);
    },
  },
  {
    name: 'an endpoint of a host is refused when another host has the address',
    async run(connect) {
      await using store = connect();
      const blue = await addSegment(registryOf(store), BLUE);
      await using one = new SegmentHostFixture(1, connect());
      await using two = new SegmentHostFixture(2, connect());
      for (const host of [one, two]) await until(host, 'blue', ({ segments }) => segments.has('blue'));
      await one.presence.add(blue, [endpointOf(1, '10.9.1.2', 'web')]);
      await assert.rejects(
        two.presence.add(blue, [endpointOf(2, '10.9.1.2')]),
        refusedBy('DUPLICATE_ADDRESS', /web on docker1/),
      );
      await assert.rejects(
        one.presence.add(blue, [endpointOf(1, '10.9.1.2', 'db')]),
        refusedBy('DUPLICATE_ADDRESS', /web on docker1/),
      );
      const former = { ...blue, id: '0123456789abcdef' };
      await assert.rejects(
        one.presence.add(former, [endpointOf(1, '10.9.1.3')]),
        refusedBy('NOT_FOUND', /blue/),
      );
      // As long as it is not known what is on the bridge nothing is taken back.
      one.presence.remove(blue, Ip.parse('10.9.1.2'));
      await one.presence.add(blue, [endpointOf(1, '10.9.1.4', 'db')]);
      await until(two, 'another', ({ segments }) => segments.get('blue')?.endpoints.size === 2);
      one.presence.setEndpoints(blue, [endpointOf(1, '10.9.1.3', 'seen')]);
      const left = await until(two, 'it is free', ({ segments }) => {
        const endpoints = segments.get('blue')?.endpoints;
        return endpoints?.has(Ip.parse('10.9.1.3').key) === true && !endpoints.has(Ip.parse('10.9.1.2').key);
      });
      assert.equal(left.segments.get('blue')?.endpoints.size, 2);
      assert.equal(await two.presence.add(blue, [endpointOf(2, '10.9.1.2')]), 'published');
    },
  },
];
