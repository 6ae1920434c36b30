import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { endpointOf, macOf, SegmentFixture } from '../../test/support/segments.ts';
import { isCode } from '../base/errors.ts';
import { Ip } from '../base/ip.ts';
import { valuesOf } from '../base/per-family.ts';
import { releaseHost, removeSegment } from '../subnet/segment/administration.ts';
import type { Segment } from '../subnet/segment/segment.ts';
import { gatewayMac } from '../subnet/segment/segment-mac.ts';

async function setUp(t: TestContext, request: Parameters<SegmentFixture['add']>[0] = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'tulle-ipam-'));
  t.after(() => rm(directory, { recursive: true }));
  const fixture = new SegmentFixture();
  const segment = await fixture.add(request);
  const start = async (number: number) => {
    const host = fixture.host(number, join(directory, `${number}`));
    await fixture.clock.advance(0);
    // Nothing of them is seen on a bridge.
    const nothingSeen = (of: Segment) => host.presence.setEndpoints(of, []);
    nothingSeen(segment);
    const connect = async (container: string, ...ips: string[]) => {
      const mac = macOf(number * 256 + (Number.parseInt(container.replace(/\D/g, ''), 10) || 99));
      const asked = { container, mac, ips: ips.map(ip => Ip.parse(ip)) };
      const { addresses, isPublished } = await host.addresses.connect('blue', asked);
      await fixture.clock.advance(0);
      return `${valuesOf(addresses).join(' ')}${isPublished ? '' : ' pending'}`;
    };
    const disconnect = async (container: string) => {
      await host.addresses.disconnect('blue', container);
      await fixture.clock.advance(0);
    };
    return {
      host,
      nothingSeen,
      connect,
      disconnect,
      [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
    };
  };
  /** What all hosts see. */
  const published = async () => {
    await fixture.clock.advance(0);
    const { endpoints, ranges } = await fixture.registry.get('blue');
    return {
      endpoints: [...endpoints.values()].map(one => `${one.ip} ${one.container} ${one.hostName}`).sort(),
      ranges: [...ranges.values()].map(({ block, hostName }) => `${block} ${hostName}`).sort(),
    };
  };
  return { fixture, segment, start, published, directory };
}

const refused = (code: string, text: RegExp) => (error: unknown) => {
  assert.ok(isCode(error, code), String(error));
  assert.match(error.message, text);
  return true;
};

describe('the addresses of a host', { timeout: 60_000 }, () => {
  test('are for a MAC address that nobody else has: neither the gateway nor a container anywhere', async t => {
    const { start, segment } = await setUp(t);
    await using one = await start(1);
    await using two = await start(2);
    await one.connect('c1');
    for (const [mac, whose] of [
      [gatewayMac(segment), /of the gateway of blue/],
      [macOf(257), /of c1 on docker1/],
    ] as const) {
      const connected = two.host.addresses.connect('blue', { container: 'thief', mac });
      await assert.rejects(connected, refused('UNUSABLE_ADDRESS', whose));
    }
    const sameHost = one.host.addresses.connect('blue', { container: 'c2', mac: macOf(257) });
    await assert.rejects(sameHost, refused('UNUSABLE_ADDRESS', /of c1 on docker1/));
  });

  test('come from its own range, one after the other, and one that was freed comes last', async t => {
    const { start, published } = await setUp(t, { subnets: ['10.9.0.0/24'] });
    await using one = await start(1);
    await using two = await start(2);
    assert.equal(await one.connect('c1'), '10.9.0.17');
    assert.equal(await two.connect('c1'), '10.9.0.33');
    assert.equal(await one.connect('c2'), '10.9.0.18');
    await one.disconnect('c1');
    assert.equal(await one.connect('c3'), '10.9.0.19');
    for (let number = 4; number < 16; number++) await one.connect(`c${number}`);
    assert.equal(await one.connect('c16'), '10.9.0.17');
    assert.equal(await one.connect('c17'), '10.9.0.16');
    assert.deepEqual((await published()).ranges, ['10.9.0.16/28 docker1', '10.9.0.32/28 docker2']);
    // Full: one more range.
    assert.equal(await one.connect('c18'), '10.9.0.49');
    const { endpoints, ranges } = await published();
    assert.equal(endpoints.length, 18);
    assert.equal(ranges.length, 3);
  });

  test('are one of each family, none that the network itself needs, and the same for the same container', async t => {
    const { start } = await setUp(t, {
      subnets: ['10.9.0.0/24', 'fd00:9::/64'],
      gateways: ['10.9.0.17', 'fd00:9::1'],
    });
    await using one = await start(1);
    assert.equal(await one.connect('c1'), '10.9.0.18 fd00:9::1:0:1');
    assert.equal(await one.connect('c2'), '10.9.0.19 fd00:9::1:0:2');
    assert.equal(await one.connect('c1'), '10.9.0.18 fd00:9::1:0:1');
    assert.equal(await one.connect('c3', 'fd00:9::5'), '10.9.0.20 fd00:9::5');
  });

  test('that are asked for are any free ones of the network', async t => {
    const { start } = await setUp(t);
    await using one = await start(1);
    await using two = await start(2);
    assert.equal(await one.connect('c1', '10.9.0.9'), '10.9.0.9');
    await two.connect('c1');
    await assert.rejects(two.connect('c2', '10.9.0.9'), refused('DUPLICATE_ADDRESS', /c1 on docker1/));
    await assert.rejects(one.connect('c2', '10.9.0.9'), refused('DUPLICATE_ADDRESS', /c1 on docker1/));
    await assert.rejects(
      one.connect('c1', '10.9.0.8'),
      refused('UNUSABLE_ADDRESS', /c1 has 10\.9\.0\.9 already/),
    );
    const wrong = ['10.9.0.1', '10.9.255.255', '10.10.0.1', 'fd00::1'];
    await assert.rejects(
      one.connect('c2', ...wrong),
      refused('UNUSABLE_ADDRESS', /10\.9\.0\.1 is no .*10\.9\.255\.255 is .*10\.10\.0\.1 is .*fd00::1 is no/),
    );
    // Out of the other's range, which passes over it.
    assert.equal(await one.connect('c3', '10.9.1.2'), '10.9.1.2');
    assert.equal(await two.connect('c3'), '10.9.1.3');
  });

  test('out of a range of Docker are given out by Docker alone', async t => {
    const { start } = await setUp(t, { docker: true });
    await using one = await start(1);
    await using two = await start(2);
    assert.deepEqual((await two.host.addresses.ranges('blue', 'ipv4')).map(String), ['10.9.1.0/24']);
    await one.host.watch.changes(one.host.signal).next();
    await assert.rejects(
      one.connect('c1', '10.9.1.7'),
      refused('UNUSABLE_ADDRESS', /in 10\.9\.1\.0\/24, out of which Docker on docker2/),
    );
  });

  test('are given out while the store is away, also after a restart, and published later', async t => {
    const { start, published, fixture } = await setUp(t);
    {
      await using one = await start(1);
      await one.connect('c1');
      one.host.store.cut();
      await fixture.clock.advance(0);
      assert.equal(await one.connect('c2'), '10.9.1.2 pending');
      await assert.rejects(
        one.connect('c9', '10.9.7.7'),
        refused('UNUSABLE_ADDRESS', /in no range of this host/),
      );
    }
    assert.deepEqual((await published()).endpoints, ['10.9.1.1 c1 docker1']);
    await using again = await start(1);
    assert.equal(await again.connect('c3'), '10.9.1.3');
    assert.deepEqual((await published()).endpoints, [
      '10.9.1.1 c1 docker1',
      '10.9.1.2 c2 docker1',
      '10.9.1.3 c3 docker1',
    ]);
  });

  test('that turn out to be those of another are reported, and free for this one when the other is gone', async t => {
    const { start, published, fixture, segment } = await setUp(t);
    await using one = await start(1);
    await one.connect('c1');
    one.host.store.cut();
    await fixture.clock.advance(0);
    assert.equal(await one.connect('c2'), '10.9.1.2 pending');
    const { id } = await fixture.store.grant(1000);
    await fixture.registry.claimEndpoints(segment, [endpointOf(2, '10.9.1.2', 'thief')], id);
    one.host.store.heal();
    await fixture.clock.advance(60_000);
    assert.deepEqual(
      one.host.conflicts.map(
        ({ endpoint, owner }) => `${endpoint.container} ${owner.container} ${owner.hostName}`,
      ),
      ['c2 thief docker2'],
    );
    assert.equal(one.host.presence.state.value.conflicts.length, 1);
    await fixture.registry.releaseEndpoints(segment, [Ip.parse('10.9.1.2')], 'host-2');
    assert.deepEqual((await published()).endpoints, ['10.9.1.1 c1 docker1', '10.9.1.2 c2 docker1']);
    assert.equal(one.host.presence.state.value.conflicts.length, 0);
  });

  test('end when there are no more, and begin again with the store', async t => {
    const { start, fixture } = await setUp(t, { subnets: ['10.9.0.0/28'] });
    await using one = await start(1);
    for (const number of [1, 2, 3, 4]) await one.connect(`c${number}`);
    one.host.store.cut();
    await fixture.clock.advance(0);
    await assert.rejects(one.connect('c5'), refused('NO_ADDRESS', /the store does not answer/));
    one.host.store.heal();
    await fixture.clock.advance(60_000);
    assert.equal(await one.connect('c5'), '10.9.0.9');
    for (const number of [6, 7, 8, 9, 10, 11]) await one.connect(`c${number}`);
    await assert.rejects(one.connect('c12'), refused('EXHAUSTED_RANGES', /every \/30/));
    await one.disconnect('c5');
    assert.equal(await one.connect('c12'), '10.9.0.9');
  });

  test('outlive a store that has lost its data, ranges included', async t => {
    const { start, published, fixture, segment } = await setUp(t);
    await using one = await start(1);
    await one.connect('c1');
    const { key, value } = fixture.database.list('').find(kv => kv.key.endsWith('/config')) ?? assert.fail();
    fixture.database.reset();
    await fixture.store.put(key, value);
    assert.deepEqual(await published(), {
      endpoints: ['10.9.1.1 c1 docker1'],
      ranges: ['10.9.1.0/24 docker1'],
    });
    assert.equal((await fixture.registry.get('blue')).segment.id, segment.id);
  });

  test('go on without the file of the last run, in the range that the store has', async t => {
    const { start, directory } = await setUp(t);
    {
      await using one = await start(1);
      await one.connect('c1');
      const [file = ''] = await readdir(join(directory, '1'));
      await writeFile(join(directory, '1', file), '{"version":1}');
    }
    await using one = await start(1);
    // c1 is not known any more, so its address is free.
    assert.equal(await one.connect('c2'), '10.9.1.1');
    assert.deepEqual(
      one.host.ipamEvents.map(({ type }) => type),
      ['lost'],
    );
  });

  test('are given back when the host leaves, or when an administrator releases it', async t => {
    const { start, published, fixture, directory, segment } = await setUp(t);
    await using one = await start(1);
    await one.connect('c1');
    await one.host.addresses.leave('blue');
    await fixture.clock.advance(0);
    assert.deepEqual(await published(), { endpoints: [], ranges: [] });
    assert.deepEqual(await readdir(join(directory, '1')), []);
    assert.equal(await one.connect('c1'), '10.9.1.1');
    {
      await using two = await start(2);
      await two.connect('c1');
    }
    await releaseHost(fixture.registry, 'blue', 'host-2');
    assert.deepEqual(await published(), {
      endpoints: ['10.9.1.1 c1 docker1'],
      ranges: ['10.9.1.0/24 docker1'],
    });
    {
      // A host that leaves takes all with it, also what is seen on its bridges.
      await using three = await start(3);
      await three.connect('c1');
      three.host.presence.setEndpoints(segment, [endpointOf(3, '10.9.0.77')]);
      await fixture.clock.advance(0);
      assert.equal((await published()).endpoints.length, 3);
      await three.host.addresses.leaveAll();
      await three.host.presence.withdraw();
      assert.deepEqual(await published(), {
        endpoints: ['10.9.1.1 c1 docker1'],
        ranges: ['10.9.1.0/24 docker1'],
      });
    }
    await removeSegment(fixture.registry, 'blue', { force: true });
    await fixture.clock.advance(0);
    await assert.rejects(one.connect('c2'), refused('NOT_FOUND', /no network blue/));
    // A later network of this name has nothing of the former one.
    one.nothingSeen(await fixture.add({ subnets: ['10.8.0.0/16'] }));
    await fixture.clock.advance(0);
    assert.deepEqual(await published(), { endpoints: [], ranges: [] });
    assert.equal(await one.connect('c2'), '10.8.1.1');
  });
});
