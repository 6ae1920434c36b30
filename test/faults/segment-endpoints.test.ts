/** What is on an L2 network: containers that are connected, and what appears by itself, over three hosts. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ApiError } from '../../src/api/client.ts';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import { EtcdStore } from '../../src/store/etcd/etcd-store.ts';
import { addSegment } from '../../src/subnet/segment/administration.ts';
import type { Segment } from '../../src/subnet/segment/segment.ts';
import { SegmentRegistry } from '../../src/subnet/segment/segment-registry.ts';
import { eventually } from '../support/eventually.ts';
import { type FaultHost, needsFaultLab } from './fault-host.ts';
import { FaultLab } from './fault-lab.ts';

describe('on an L2 network', needsFaultLab, () => {
  const lab = new FaultLab({ hosts: 3, store: 'tulle' });
  const made = new AsyncDisposableStack();
  let registry: SegmentRegistry;
  let blue: Segment;

  before(async () => {
    made.use(lab);
    await lab.create();
    const store = made.use(new EtcdStore({ endpoints: [lab.store.url] }));
    registry = new SegmentRegistry(store, { prefix: NETWORK_PREFIX });
    blue = await addSegment(registry, { name: 'blue', subnets: ['10.88.0.0/16', 'fd00:88::/64'] });
    for (const host of lab.hosts) await untilReady(host);
  });
  after(() => made.disposeAsync());

  /** Published endpoints: `web 10.88.1.2 docker1`. */
  const published = async () => {
    const { endpoints } = await registry.get('blue');
    return [...endpoints.values()].map(({ container, ip }) => `${container} ${ip}`).sort();
  };
  const untilPublished = (what: string, test: (lines: readonly string[]) => boolean) =>
    eventually(what, async () => test(await published()));

  test('containers of two hosts are connected, reach each other and the gateway, and leave nothing', async () => {
    const [one, two] = [lab.host(1), lab.host(2)];
    const web = await connect(one, 'web');
    const db = await connect(two, 'db');
    assert.equal(web.addresses.length, 2);
    assert.deepEqual([web.link, web.mtu, web.published], ['eth0', 1450, true]);
    for (const address of db.addresses) await untilReaches(one, 'web', address, '-s', '1372', '-M', 'do');
    for (const gateway of web.gateways) await untilReaches(one, 'web', gateway);
    assert.equal((await published()).length, 4);

    await one.client.disconnect('blue', { target: 'web' });
    await two.client.disconnect('blue', { target: '/run/netns/db' });
    await untilPublished('nothing is published', lines => lines.length === 0);
    for (const [host, name] of [
      [one, 'web'],
      [two, 'db'],
    ] as const) {
      assert.deepEqual(await linksIn(host, name), ['lo']);
      assert.equal((await host.shell('ip -br link show type veth')).includes('te-'), false);
      await host.shell(`ip netns delete ${name}`);
    }
  });

  test('an address that another container has is refused, with its name, and nothing is made', async () => {
    const [one, two] = [lab.host(1), lab.host(2)];
    const web = await connect(one, 'web');
    const [ip = ''] = web.addresses;
    await two.shell('ip netns add thief');
    await assert.rejects(two.client.connect('blue', { target: 'thief', ips: [ip] }), (error: ApiError) => {
      assert.ok(error instanceof ApiError);
      assert.match(error.message, new RegExp(`${ip} .*web on docker1`));
      return true;
    });
    assert.deepEqual(await linksIn(two, 'thief'), ['lo']);
    assert.equal((await published()).length, 2);
    await two.shell('ip netns delete thief');
    await one.client.disconnect('blue', { target: 'web' });
    await one.shell('ip netns delete web');
  });

  test('a namespace that is deleted takes its endpoint along, and its address is free again', async () => {
    const one = lab.host(1);
    await connect(one, 'short');
    await one.shell('ip netns delete short');
    await untilPublished('nothing is published', lines => lines.length === 0);
    await assert.rejects(one.client.disconnect('blue', { target: 'short' }), /not connected/);
  });

  test('what is made by hand is seen, published, and gone again with its port', async () => {
    const [one, two] = [lab.host(1), lab.host(2)];
    await byHand(one, 'hand', '10.88.77.1');
    const other = await connect(two, 'other');
    await untilReaches(one, 'hand', other.addresses[0] ?? '');
    await untilPublished('the port is published', lines => lines.includes('p-hand 10.88.77.1'));
    await one.shell('ip netns delete hand');
    await untilPublished('it is gone', lines => !lines.some(line => line.includes('10.88.77.1')));
    await two.client.disconnect('blue', { target: 'other' });
    await two.shell('ip netns delete other');
  });

  test('a silent one is found when another host looks for it', async () => {
    const [one, two] = [lab.host(1), lab.host(2)];
    await byHand(one, 'silent', '10.88.77.2');
    const asker = await connect(two, 'asker');
    assert.equal(asker.addresses.length, 2);
    await untilReaches(two, 'asker', '10.88.77.2');
    await untilPublished('it is published', lines => lines.includes('p-silent 10.88.77.2'));
    await one.shell('ip netns delete silent');
    await two.client.disconnect('blue', { target: 'asker' });
    await two.shell('ip netns delete asker');
  });

  test('a duplicate that appears by itself is reported and kept from others; the owner keeps its traffic', async () => {
    const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];
    const owner = await connect(one, 'owner');
    const asker = await connect(three, 'asker');
    const [ip = ''] = owner.addresses;
    await byHand(two, 'thief', ip);
    await callIn(two, 'thief', asker.addresses[0] ?? '');
    const status = await two.until('the duplicate is reported', ({ warnings }) =>
      warnings.some(({ code }) => code === 'DUPLICATE_ADDRESS'),
    );
    const warning = status.warnings.find(({ code }) => code === 'DUPLICATE_ADDRESS');
    assert.match(warning?.text ?? '', new RegExp(`${ip}, which owner on docker1 has, by p-thief`));
    assert.ok((await published()).includes(`owner ${ip}`));

    await eventually('its frames are dropped on its own host', async () => {
      await callIn(two, 'thief', '10.88.200.200');
      const [network] = await two.client.networks();
      return (network?.drops?.['duplicate'] ?? 0) > 0;
    });
    const before = await receivedBy(one, 'owner');
    // A container that has heard the thief sends to its MAC address until it asks again.
    await untilReaches(three, 'asker', ip);
    assert.ok((await receivedBy(one, 'owner')) > before, 'the owner does not get its packets');

    await two.shell('ip netns delete thief');
    await two.until('the report ends', ({ warnings }) =>
      warnings.every(({ code }) => code !== 'DUPLICATE_ADDRESS'),
    );
    await one.client.disconnect('blue', { target: 'owner' });
    await three.client.disconnect('blue', { target: 'asker' });
    await one.shell('ip netns delete owner');
    await three.shell('ip netns delete asker');
  });

  test('an agent that is started again knows what is connected, and what went meanwhile', async () => {
    const one = lab.host(1);
    const stays = await connect(one, 'stays');
    await connect(one, 'goes');
    await one.killAgent();
    await one.shell('ip netns delete goes');
    await one.startAgent();
    await untilPublished('only what is there is published', lines => {
      return lines.length === 2 && lines.every(line => line.startsWith('stays '));
    });
    const again = await connect(one, 'again');
    assert.equal(
      again.addresses.some(address => stays.addresses.includes(address)),
      false,
    );
    for (const name of ['stays', 'again']) {
      await one.client.disconnect('blue', { target: name });
      await one.shell(`ip netns delete ${name}`);
    }
  });

  test('a host that is cut off from the store goes on giving addresses, and publishes them later', async () => {
    const [one, two] = [lab.host(1), lab.host(2)];
    const first = await connect(one, 'first');
    await one.way.refuse();
    await one.untilCondition('store', false);
    const late = await connect(one, 'late');
    assert.equal(late.published, false);
    await untilReaches(one, 'late', first.addresses[0] ?? '');
    await one.way.listen();
    await untilPublished('it is published', lines => lines.some(line => line.startsWith('late ')));
    const asker = await connect(two, 'asker');
    await untilReaches(two, 'asker', late.addresses[0] ?? '');
    assert.equal(asker.published, true);
    for (const [host, name] of [
      [one, 'first'],
      [one, 'late'],
      [two, 'asker'],
    ] as const) {
      await host.client.disconnect('blue', { target: name });
      await host.shell(`ip netns delete ${name}`);
    }
  });

  test('the guard is back after another program has flushed all rules, and a bridge after it was deleted', async () => {
    const one = lab.host(1);
    const drops = async () => (await one.client.networks())[0]?.drops;
    await eventually('the network is guarded', async () => (await drops()) !== undefined);
    await one.shell('nft delete table bridge tulle-segments');
    await eventually('it is guarded again', async () =>
      (await one.shell('nft list tables')).includes('tulle-segments'),
    );
    await one.shell('ip link delete tb-blue');
    const inside = async () => {
      const text = await one.shell('ip -json link show tv-blue');
      return text.includes('"master":"tb-blue"');
    };
    await eventually('the bridge is there again', inside);
    await untilReady(one);
    await byHand(one, 'hand', '10.88.77.3');
    await untilReaches(one, 'hand', '10.88.0.1');
    await untilPublished('it is listened to', lines => lines.includes('p-hand 10.88.77.3'));
    await one.shell('ip netns delete hand');
    await untilPublished('it is gone', lines => lines.length === 0);
  });

  test('a hundred containers on three hosts at once have a hundred addresses, and any reaches any', async () => {
    const names = Array.from({ length: 100 }, (_, at) => ({ host: lab.host((at % 3) + 1), name: `n${at}` }));
    const onEach = (verb: 'add' | 'delete') =>
      Promise.all(
        lab.hosts.map(host => {
          const own = names.filter(one => one.host === host);
          const input = own.map(({ name }) => `netns ${verb} ${name}\n`).join('');
          return host.host.run('ip', ['-batch', '-'], { input });
        }),
      );
    await onEach('add');
    const reports = await Promise.all(
      names.map(({ host, name }) => host.client.connect('blue', { target: name, ips: [] })),
    );
    const addresses = reports.flatMap(report => report.addresses);
    assert.equal(new Set(addresses).size, 200);
    await untilPublished('all are published', lines => lines.length === 200);
    for (const at of [0, 1, 2, 50, 99]) {
      const from = names[at];
      const to = reports[(at + 37) % 100];
      if (from !== undefined) await untilReaches(from.host, from.name, to?.addresses[0] ?? '');
    }
    await Promise.all(names.map(({ host, name }) => host.client.disconnect('blue', { target: name })));
    await untilPublished('nothing is published', lines => lines.length === 0);
    await onEach('delete');
  });

  async function untilReady(host: FaultHost): Promise<void> {
    await eventually(`${blue.name} is on ${host.name}`, async () =>
      (await host.client.networks()).some(({ name, state }) => name === blue.name && state === 'ready'),
    );
  }
});

async function connect(host: FaultHost, name: string) {
  await host.shell(`ip netns add ${name}`);
  return host.client.connect('blue', { target: name, ips: [] });
}

/** A namespace on the bridge that nobody but the test knows of. */
async function byHand(host: FaultHost, name: string, ip: string): Promise<void> {
  const inside = `ip -n ${name}`;
  for (const command of [
    `ip netns add ${name}`,
    `ip link add p-${name} master tb-blue type veth peer name eth0 netns ${name}`,
    `${inside} address add ${ip}/16 dev eth0`,
    `${inside} link set eth0 mtu 1450 up`,
    `ip link set p-${name} up`,
  ]) {
    await host.shell(command);
  }
}

/** One echo, answered or not. */
const callIn = (host: FaultHost, name: string, to: string, ...flags: string[]) =>
  host.host.run('ip', ['netns', 'exec', name, 'ping', '-n', '-q', '-c', '1', '-W', '3', ...flags, to], {
    anyStatus: true,
  });

/** Waits until an echo is answered: what one agent has published, the others hear a moment later. */
const untilReaches = (host: FaultHost, name: string, to: string, ...flags: string[]) =>
  eventually(`${name} reaches ${to}`, async () => (await callIn(host, name, to, ...flags)).status === 0);

async function linksIn(host: FaultHost, name: string): Promise<string[]> {
  const text = await host.shell(`ip -n ${name} -json link`);
  return (JSON.parse(text) as { ifname: string }[]).map(({ ifname }) => ifname);
}

/** Packets. */
async function receivedBy(host: FaultHost, name: string): Promise<number> {
  const text = await host.shell(`ip -n ${name} -json -s link show eth0`);
  const [link] = JSON.parse(text) as { stats64: { rx: { packets: number } } }[];
  return link?.stats64.rx.packets ?? 0;
}
