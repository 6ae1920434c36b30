/** What people and programs do to an L2 network that nobody would do on purpose, over two hosts, with etcd. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import { TULLE } from '../../src/lab/host/host.ts';
import { endpointLinkName } from '../../src/network/segment/endpoints/endpoint-alias.ts';
import { EtcdStore } from '../../src/store/etcd/etcd-store.ts';
import { addSegment, removeSegment } from '../../src/subnet/segment/administration.ts';
import type { Segment } from '../../src/subnet/segment/segment.ts';
import { gatewayMac } from '../../src/subnet/segment/segment-mac.ts';
import { SegmentRegistry } from '../../src/subnet/segment/segment-registry.ts';
import { waitForFile } from '../../src/sys/wait-file.ts';
import { deadline, eventually } from '../support/eventually.ts';
import { type FaultHost, KNOWN_STATE, needsFaultLab } from './fault-host.ts';
import { FaultLab } from './fault-lab.ts';

/** An echo that fills a packet of this MTU. */
const echo = (mtu: number) => `-M do -s ${mtu - 28}`;

describe('an L2 network that is abused', needsFaultLab, () => {
  const lab = new FaultLab({ hosts: 2, store: 'etcd' });
  const made = new AsyncDisposableStack();
  let registry: SegmentRegistry;
  let blue: Segment;
  let there = '';

  before(async () => {
    made.use(lab);
    await lab.create();
    registry = new SegmentRegistry(made.use(new EtcdStore({ endpoints: [lab.store.url] })), {
      prefix: NETWORK_PREFIX,
    });
    blue = await addSegment(registry, { name: 'blue', subnets: ['10.88.0.0/16'] });
    for (const host of lab.hosts) await untilReady(host);
    [there = ''] = (await connect(lab.host(2), 'db')).addresses;
    await connect(lab.host(1), 'web');
    await untilReached();
  });
  after(() => made.disposeAsync());

  const untilReached = (flags = '') =>
    eventually(`web reaches db ${flags}`, () => pings(lab.host(1), 'web', there, flags));

  test('keeps its gateway when others have its MAC address', async () => {
    const two = lab.host(2);
    const mac = gatewayMac(blue).toString();
    await two.shell('ip netns add gw');
    await assert.rejects(
      two.client.connect('blue', { target: 'gw', ips: [], mac }),
      /of the gateway of blue/,
    );
    const key = `${NETWORK_PREFIX}/networks/blue/endpoints/10.88.7.7`;
    const last = await lab.host(1).lastEvent();
    await lab.store.ctl('put', key, JSON.stringify({ mac, hostId: 'ghost', container: 'gw' }));
    await lab.host(1).eventsUntil(last, events => events.some(({ type }) => type === 'network-key-rejected'));
    await lab.host(1).client.resync();
    assert.ok(await pings(lab.host(1), 'web', '10.88.0.1'));
    await lab.store.ctl('del', key);
  });

  test('gives the addresses of a name to one namespace only', async () => {
    const one = lab.host(1);
    // Something still runs in the former one.
    await one.shell('touch /run/netns/former');
    await one.shell('mount --bind /run/netns/web /run/netns/former');
    await one.shell('umount /run/netns/web');
    await one.shell('rm /run/netns/web');
    await one.shell('ip netns add web');
    await assert.rejects(
      one.client.connect('blue', { target: 'web', ips: [] }),
      /another network namespace, which is in use, is connected to blue as web/,
    );
    assert.ok(await pings(one, 'former', there));
    await one.shell('ip netns delete former');
    await one.client.connect('blue', { target: 'web', ips: [] });
    await untilReached();
  });

  test('connects to the end what an agent that was killed had begun', async () => {
    const one = lab.host(1);
    await one.shell('ip netns add half');
    const inode = Number(await one.shell('stat -L -c %i /run/netns/half'));
    const link = endpointLinkName(blue, inode);
    await one.shell(`ip link add ${link} type veth peer name eth0 netns half`);
    assert.equal((await one.client.connect('blue', { target: 'half', ips: [] })).link, 'eth0');
    await one.shell(`ip link set ${link} nomaster down`);
    await eventually('half reaches db', () => pings(one, 'half', there));
    await one.client.disconnect('blue', { target: 'half' });
  });

  test('says on every host that an address has another MAC address', async () => {
    const one = lab.host(1);
    const { addresses } = await one.client.connect('blue', { target: 'half', ips: [] });
    const [ip = ''] = addresses;
    assert.ok(await eventually('db reaches half', () => pings(lab.host(2), 'db', ip)));
    await one.client.disconnect('blue', { target: 'half' });
    await one.client.connect('blue', { target: 'half', ips: [ip] });
    const known = async () => (await lab.host(2).shell(`ip -n db neigh show ${ip}`)).split(' ')[4];
    const mac = (await one.shell('ip -n half -brief link show eth0')).split(/ +/)[2];
    await eventually('db knows the new one', async () => (await known()) === mac);
    await eventually('db reaches it', () => pings(lab.host(2), 'db', ip));
    await one.client.disconnect('blue', { target: 'half' });
  });

  test('takes what is connected into a bridge that was made anew', async () => {
    await lab.host(1).shell('ip link delete tb-blue');
    await untilReached();
  });

  test('follows the MTU of the underlay in what is connected', async () => {
    for (const mtu of [1400, 1500]) {
      for (const { shell } of lab.hosts.map(host => ({ shell: (line: string) => host.shell(line) }))) {
        await shell(`ip link set eth0 mtu ${mtu}`);
      }
      await eventually(`web has MTU ${mtu - 50}`, async () =>
        (await lab.host(1).shell('ip -n web link show eth0')).includes(` mtu ${mtu - 50} `),
      );
      await untilReached(echo(mtu - 50));
    }
  });

  test('takes its links from containers when it is deleted, also while no agent runs', async () => {
    const [one, two] = [lab.host(1), lab.host(2)];
    await waitForFile(two.host.path(KNOWN_STATE), deadline('blue is on its disk'), text =>
      text.includes('/networks/blue/config'),
    );
    await two.killAgent();
    await removeSegment(registry, 'blue', { force: true });
    await untilLinks(one, 'web', 'lo');
    await two.startAgent();
    await untilLinks(two, 'db', 'lo');
    blue = await addSegment(registry, { name: 'blue', subnets: ['10.77.0.0/16'] });
    for (const host of lab.hosts) await untilReady(host);
    [there = ''] = (await two.client.connect('blue', { target: 'db', ips: [] })).addresses;
    assert.match(there, /^10\.77\./);
    await one.client.connect('blue', { target: 'web', ips: [] });
    await untilReached();
  });

  test('is the new one on hosts that were away while it was deleted and made anew', async () => {
    const [one, two] = [lab.host(1), lab.host(2)];
    await waitForFile(two.host.path(KNOWN_STATE), deadline('blue is on its disk'), text =>
      text.includes(`"create":"${blue.createRevision}"`),
    );
    await one.way.refuse();
    await one.untilCondition('store', false);
    await two.killAgent();
    await removeSegment(registry, 'blue', { force: true });
    blue = await addSegment(registry, { name: 'blue', subnets: ['10.66.0.0/16'] });
    await two.startAgent();
    await one.way.listen();
    for (const [host, name] of [
      [one, 'web'],
      [two, 'db'],
    ] as const) {
      await untilLinks(host, name, 'lo');
      const { addresses } = await eventually(`${name} is connected again`, () =>
        host.client.connect('blue', { target: name, ips: [] }),
      );
      assert.match(addresses.join(), /^10\.66\./);
      there = addresses[0] ?? '';
    }
    await untilReached();
  });

  test('goes with all that is connected, and every file, with `tulle cleanup`', async () => {
    const two = lab.host(2);
    await waitForFile(two.host.path(KNOWN_STATE), deadline('blue is on its disk'), text =>
      text.includes(`"create":"${blue.createRevision}"`),
    );
    await two.killAgent();
    await two.host.run(TULLE, ['cleanup']);
    assert.doesNotMatch(await two.shell('ip -brief link'), /^t[bev]-/m);
    await untilLinks(two, 'db', 'lo');
    assert.equal(existsSync(two.host.path('/var/lib/tulle')), false);
  });

  async function untilReady(host: FaultHost): Promise<void> {
    await eventually(`blue is on ${host.name}`, async () =>
      (await host.client.networks()).some(({ name, state }) => name === 'blue' && state === 'ready'),
    );
  }
});

async function connect(host: FaultHost, name: string) {
  await host.shell(`ip netns add ${name}`);
  return host.client.connect('blue', { target: name, ips: [] });
}

async function pings(host: FaultHost, name: string, to: string, flags = ''): Promise<boolean> {
  const words = `netns exec ${name} ping -n -q -c 1 -W 3 ${flags} ${to}`
    .split(' ')
    .filter(word => word !== '');
  return (await host.host.run('ip', words, { anyStatus: true })).status === 0;
}

function untilLinks(host: FaultHost, name: string, links: string): Promise<unknown> {
  return eventually(`${name} has only ${links}`, async () => {
    const found = await host.json<{ ifname: string }>(`ip -n ${name} -json link`);
    return found.map(({ ifname }) => ifname).join() === links;
  });
}
