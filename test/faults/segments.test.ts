/** An L2 network over three hosts: what is flooded and to whom, and what faults do to it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import { TULLE } from '../../src/lab/host/host.ts';
import { EtcdStore } from '../../src/store/etcd/etcd-store.ts';
import { addSegment, removeSegment } from '../../src/subnet/segment/administration.ts';
import { SegmentRegistry } from '../../src/subnet/segment/segment-registry.ts';
import { waitForFile } from '../../src/sys/wait-file.ts';
import { deadline, eventually } from '../support/eventually.ts';
import { type FaultHost, KNOWN_STATE, needsFaultLab } from './fault-host.ts';
import { FaultLab } from './fault-lab.ts';
import { Container, Wire, type WireFrame } from './segment-lab.ts';
import { SteadyPing } from './steady-ping.ts';

/** The largest there is. */
const BLUE_VNI = 16777215;
/** Of the underlay's 1500 bytes, 50 are VXLAN's; 28 are the headers of an echo. */
const LARGEST_ECHO = 1500 - 50 - 28;

/** Milliseconds: a silent container is asked several times before it counts as gone. */
const PATIENT = 45_000;

interface FdbLine {
  readonly mac: string;
  readonly ifname: string;
  readonly dst?: string;
  readonly master?: string;
}

describe('an L2 network', needsFaultLab, () => {
  const lab = new FaultLab({ hosts: 3, store: 'tulle' });
  const made = new AsyncDisposableStack();
  let registry: SegmentRegistry;
  let one: Container;
  let two: Container;

  before(async () => {
    made.use(lab);
    await lab.create();
    const store = made.use(new EtcdStore({ endpoints: [lab.store.url] }));
    registry = new SegmentRegistry(store, { prefix: NETWORK_PREFIX });
  });
  after(() => made.disposeAsync());

  const linksOf = async (host: FaultHost, name: string) => {
    const links = await host.json<{ ifname: string; ifindex: number }>('ip -json link');
    return links.filter(({ ifname }) => ifname === `tb-${name}` || ifname === `tv-${name}`);
  };
  const untilMade = (name: string, hosts: readonly FaultHost[] = lab.hosts) =>
    eventually(`${name} is on every host`, async () => {
      const counts = await Promise.all(hosts.map(async host => (await linksOf(host, name)).length));
      return counts.every(count => count === 2);
    });
  const untilGone = (name: string) =>
    eventually(`no host has a link of ${name}`, async () => {
      const left = await Promise.all(lab.hosts.map(host => linksOf(host, name)));
      return left.every(links => links.length === 0);
    });
  const fdbOf = async (host: FaultHost, name: string) =>
    host.json<FdbLine>(`bridge -json fdb show dev tv-${name}`);
  /** Where a host sends flooded frames. */
  const floods = async (host: FaultHost, name: string) =>
    (await fdbOf(host, name))
      .flatMap(({ mac, dst }) => (mac === '00:00:00:00:00:00' ? (dst ?? []) : []))
      .sort();
  /** Every host but its own knows where a container is. */
  const untilKnown = (container: Container, name: string) =>
    eventually(`every host knows ${container.name}`, async () => {
      const mac = await container.mac();
      const known = await Promise.all(
        lab.hosts.map(async host => {
          const neighbors = await host.shell(`ip neigh show ${container.ip} dev tb-${name} nud permanent`);
          const entries = (await fdbOf(host, name)).filter(entry => entry.mac === mac);
          return neighbors.includes(mac) && entries.length === (host === container.host ? 0 : 2);
        }),
      );
      if (known.every(isKnown => isKnown)) return true;
      // What it said before the agent listened to the new bridge, is lost.
      await container.asksAnew(name === 'six' ? 'fd88::1' : '10.88.0.1');
      return false;
    });
  const ofBlue = (frames: readonly WireFrame[]) => frames.filter(({ vni }) => vni === BLUE_VNI);

  test('comes to every host when it is made, and goes when it is deleted', async () => {
    await addSegment(registry, { name: 'blue', subnets: ['10.88.0.0/16'], vni: BLUE_VNI });
    await untilMade('blue');
    await removeSegment(registry, 'blue');
    await untilGone('blue');
  });

  test('floods to hosts that have something on it, and to no other', async () => {
    await addSegment(registry, { name: 'blue', subnets: ['10.88.0.0/16'], vni: BLUE_VNI });
    await untilMade('blue');
    one = await Container.attach(lab.host(1), 'one', 'tb-blue', '10.88.0.11/16');
    two = await Container.attach(lab.host(2), 'two', 'tb-blue', '10.88.0.12/16');
    const [first, second] = [lab.host(1).address, lab.host(2).address];
    await eventually('the members are known', async () => {
      const all = await Promise.all(lab.hosts.map(host => floods(host, 'blue')));
      return JSON.stringify(all) === JSON.stringify([[second], [first], [first, second]]);
    });
    await lab.host(3).until('its status has blue', ({ l2Networks: [blue] = [] }) => {
      const { state, vni, mtu, member, members } = blue ?? {};
      return isDeepStrictEqual([state, vni, mtu, member, members], ['ready', BLUE_VNI, 1450, false, 2]);
    });
    await using atTwo = await Wire.listen(lab.host(2), lab.host(1));
    await using atThree = await Wire.listen(lab.host(3), lab.host(1));
    for (const target of ['10.88.99.99', '10.88.255.255', '239.1.2.3']) {
      await one.calls(target, ...(target === '10.88.99.99' ? [] : ['-b', '-I', 'eth0']));
    }
    const texts = ofBlue(await atTwo.frames()).map(({ text }) => text);
    for (const said of ['who-has 10.88.99.99', '> 10.88.255.255: ICMP', '> 239.1.2.3: ICMP']) {
      assert.ok(
        texts.some(text => text.includes(said)),
        `${said} comes to a member:\n${texts.join('\n')}`,
      );
    }
    assert.deepEqual(ofBlue(await atThree.frames()), [], 'nothing comes to a host that is no member');
  });

  test('floods nothing for a container that is known, not even to members', async () => {
    const three = await Container.attach(lab.host(3), 'three', 'tb-blue', '10.88.0.13/16');
    await eventually('host 3 is a member', async () => (await floods(lab.host(1), 'blue')).length === 2);
    assert.ok(await eventually('one reaches two', () => one.pings(two.ip)));
    await untilKnown(one, 'blue');
    await untilKnown(two, 'blue');
    await using atTwo = await Wire.listen(lab.host(2), lab.host(1));
    await using atThree = await Wire.listen(lab.host(3), lab.host(1));
    await one.host.shell('ip -n one neigh flush dev eth0');
    assert.ok(await one.pings(two.ip));
    assert.equal(await one.neighborsOf(two.ip), await two.mac());
    const frames = ofBlue(await atTwo.frames()).map(({ text }) => text);
    assert.deepEqual(
      frames.filter(text => text.includes('ethertype ARP')),
      [],
    );
    assert.ok(frames.some(text => text.includes('ICMP echo request')));
    // The router solicitation of a link that is new is for every member.
    const atMember = ofBlue(await atThree.frames()).map(({ text }) => text);
    assert.deepEqual(
      atMember.filter(text => !text.includes(' > 33:33:')),
      [],
    );
    await three.detach();
    await eventually('host 3 is no member', async () => (await floods(lab.host(1), 'blue')).length === 1);
  });

  test('carries packets of its MTU, and no larger ones', async () => {
    assert.ok(await one.pings(two.ip, '-M', 'do', '-s', `${LARGEST_ECHO}`));
    assert.equal(await one.pings(two.ip, '-M', 'do', '-s', `${LARGEST_ECHO + 1}`), false);
  });

  test('has its gateway on every host, which is never asked for over the tunnel', async () => {
    await using atTwo = await Wire.listen(lab.host(2), lab.host(1));
    assert.ok(await one.pings('10.88.0.1'));
    assert.ok(await two.pings('10.88.0.1'));
    assert.equal(await one.neighborsOf('10.88.0.1'), await two.neighborsOf('10.88.0.1'));
    const gateway = (await one.neighborsOf('10.88.0.1')) ?? assert.fail('the gateway has an address');
    const texts = ofBlue(await atTwo.frames()).map(({ text }) => text);
    // A container may look for routers of its own accord.
    assert.deepEqual(
      texts.filter(text => text.includes(gateway) || /\b10\.88\.0\.1\b/.test(text)),
      [],
    );
  });

  test('gives its containers a way out, with the address of their host', async () => {
    const { address } = lab.host(3);
    await one.host.shell('ip -n one route add default via 10.88.0.1');
    await one.host.shell('iptables -P FORWARD DROP');
    assert.ok(await one.pings(address), 'by the gateway of its host');
    assert.ok(await one.pings(two.ip), 'on the bridge, whose frames the kernel may show to iptables');
    await one.host.shell('iptables -P FORWARD ACCEPT');
  });

  test('is apart from another one with the same addresses in use', async () => {
    await addSegment(registry, { name: 'green', subnets: ['10.89.0.0/16'] });
    await untilMade('green');
    const here = await Container.attach(lab.host(1), 'green1', 'tb-green', '10.88.0.11/16');
    const there = await Container.attach(lab.host(2), 'green2', 'tb-green', '10.88.0.12/16');
    assert.ok(await eventually('they reach each other', () => here.pings(there.ip)));
    assert.equal(await here.neighborsOf(there.ip), await there.mac());
    assert.equal(await one.neighborsOf(two.ip), await two.mac());
    await here.detach();
    await there.detach();
    await eventually(
      'no host is a member any more',
      async () => (await floods(lab.host(3), 'green')).length === 0,
    );
    await removeSegment(registry, 'green');
  });

  test('answers neighbor solicitations as it answers ARP', async () => {
    const { vni } = await addSegment(registry, { name: 'six', subnets: ['fd88::/64'] });
    await untilMade('six');
    const here = await Container.attach(lab.host(1), 'six1', 'tb-six', 'fd88::11/64');
    const there = await Container.attach(lab.host(2), 'six2', 'tb-six', 'fd88::12/64');
    assert.ok(await eventually('they reach each other', () => here.pings(there.ip)));
    await untilKnown(here, 'six');
    await untilKnown(there, 'six');
    await here.host.shell('ip -n six1 -6 neigh flush dev eth0');
    await using atTwo = await Wire.listen(lab.host(2), lab.host(1));
    assert.ok(await here.pings(there.ip));
    assert.ok(await here.pings('fd88::1'), 'the gateway answers');
    const texts = (await atTwo.frames()).filter(frame => frame.vni === vni).map(({ text }) => text);
    assert.deepEqual(
      texts.filter(text => text.includes('who has fd88::12') || text.includes('fd88::1,')),
      [],
    );
    assert.ok(texts.some(text => text.includes('echo request')));
    await here.detach();
    await there.detach();
    await eventually(
      'their addresses are free',
      async () => (await registry.get('six')).endpoints.size === 0,
    );
    await removeSegment(registry, 'six');
    await untilGone('six');
  });

  test('loses no packet while an agent is killed and started again, also without the store', async () => {
    await using ping = await SteadyPing.begin(one.netns, two.ip);
    const [before] = await linksOf(lab.host(1), 'blue');
    await lab.host(1).killAgent();
    await lab.host(1).startAgent();
    await lab.host(1).untilWhole(2);
    await Promise.all(lab.hosts.map(({ way }) => way.refuse()));
    await lab.host(1).killAgent();
    await lab.host(1).startAgent();
    await lab.host(1).until('it has what it knew', ({ store, peers }) => store.cached && peers.length === 2);
    await eventually('nothing was made anew', async () => {
      const { warnings } = await lab.host(1).client.status();
      return warnings.every(({ code }) => !code.startsWith('NETWORK_'));
    });
    const [link] = await linksOf(lab.host(1), 'blue');
    assert.equal(link?.ifindex, before?.ifindex);
    await Promise.all(lab.hosts.map(({ way }) => way.listen()));
    await lab.whole();
    assert.equal((await ping.toll()).lost, 0);
  });

  test('is repaired when others change it', async () => {
    const host = lab.host(1);
    const mac = await two.mac();
    for (const damage of [
      'ip link set tv-blue type bridge_slave neigh_suppress off learning on',
      `bridge fdb del ${mac} dev tv-blue master`,
      `bridge fdb del ${mac} dev tv-blue self`,
      `bridge fdb del 00:00:00:00:00:00 dev tv-blue dst ${lab.host(2).address} self`,
      `ip neigh del ${two.ip} dev tb-blue`,
      'ip link set tv-blue nomaster',
      'ip link del tv-blue',
      'ip address flush dev tb-blue',
    ]) {
      const last = await host.lastEvent();
      await host.shell(damage);
      await host.eventsUntil(last, events => events.some(({ type }) => type === 'drift-repaired'));
      await untilKnown(two, 'blue');
      await eventually(`all is as before after ${damage}`, async () => {
        const [port] = await host.json<{ linkinfo?: { info_slave_data?: Record<string, unknown> } }>(
          'ip -json -details link show tv-blue',
        );
        const { neigh_suppress, learning } = port?.linkinfo?.info_slave_data ?? {};
        const isSame = neigh_suppress === true && learning === false;
        return isSame && (await floods(host, 'blue')).join() === lab.host(2).address;
      });
      assert.ok(await eventually('one reaches two', () => one.pings(two.ip)), damage);
    }
  });

  test('leaves a bridge of another program alone, and names it', async () => {
    const host = lab.host(3);
    await host.shell('ip link add tb-red type bridge');
    await host.shell('ip address add 10.90.0.1/16 dev tb-red');
    const show = () => host.shell('ip -details address show tb-red');
    const before = await show();
    await addSegment(registry, { name: 'red', subnets: ['10.90.0.0/16'] });
    await untilMade('red', [lab.host(1), lab.host(2)]);
    const { reason } = await host.untilWarned('NETWORK_FAILED');
    assert.equal(reason, 'tb-red: a bridge device tb-red exists that Tulle has not made');
    assert.equal(await show(), before);
    await host.shell('ip link del tb-red');
    await untilMade('red');
    await host.until('the warning has ended', ({ warnings }) => warnings.length === 0);
    await removeSegment(registry, 'red');
    await untilGone('red');
  });

  test('has the MTU of the host where it is made; one that carries less warns', async () => {
    const host = lab.host(3);
    await lab.host(1).host.run(TULLE, ['network', 'create', 'wide', '--subnet', '10.93.0.0/16']);
    assert.equal((await registry.get('wide')).segment.mtu, 1450);
    await untilMade('wide');
    await host.shell('ip link set eth0 mtu 1400');
    const { reason } = await host.untilWarned('NETWORK_MTU_REDUCED');
    assert.match(reason, /^mtu = 1450: is more than the 1350 that eth0 leaves with its MTU of 1400/);
    const mtuOn = async (of: FaultHost) => {
      const [link] = await of.json<{ mtu: number }>('ip -json link show tb-wide');
      return link?.mtu;
    };
    await eventually('containers there get what fits', async () => (await mtuOn(host)) === 1350);
    assert.equal(await mtuOn(lab.host(1)), 1450);
    await host.shell('ip link set eth0 mtu 1500');
    await eventually('it fits again', async () => (await mtuOn(host)) === 1450);
    await host.until('the warning has ended', ({ warnings }) => warnings.length === 0);
    await removeSegment(registry, 'wide');
    await untilGone('wide');
  });

  test('goes from a host whose agent was killed as soon as it had made it, also when it is made again meanwhile', async () => {
    const host = lab.host(3);
    await addSegment(registry, { name: 'brief', subnets: ['10.91.0.0/16'] });
    await addSegment(registry, { name: 'again', subnets: ['10.92.0.0/16'] });
    await untilMade('brief', [host]);
    await untilMade('again', [host]);
    await host.killAgent();
    const [before] = await linksOf(host, 'again');
    await removeSegment(registry, 'brief');
    await removeSegment(registry, 'again');
    await addSegment(registry, { name: 'again', subnets: ['10.92.0.0/16'] });
    await host.startAgent();
    await untilGone('brief');
    await eventually('the new one is in the place of the other', async () => {
      const links = await linksOf(host, 'again');
      return links.length === 2 && links.every(({ ifindex }) => ifindex !== before?.ifindex);
    });
    await host.until('nothing is wrong', ({ warnings }) => warnings.length === 0);
    await removeSegment(registry, 'again');
    await untilGone('again');
  });

  test('goes without a trace with `tulle cleanup`', async () => {
    const host = lab.host(3);
    await waitForFile(host.host.path(KNOWN_STATE), deadline('blue is on the disk of its agent'), text =>
      text.includes('/networks/blue/config'),
    );
    await host.killAgent();
    const { stdout } = await host.host.run(TULLE, ['cleanup', '--keep-state']);
    for (const what of ['device tv-blue', 'device tb-blue', 'firewall rules of L2 networks']) {
      assert.ok(stdout.includes(what), `${what} in\n${stdout}`);
    }
    assert.deepEqual(await linksOf(host, 'blue'), []);
    assert.doesNotMatch(await host.shell('nft list tables'), /tulle-segments/);
    assert.doesNotMatch(await host.shell('iptables-save'), /10\.88\./);
    await host.startAgent();
    await untilMade('blue');
    await lab.whole();
  });

  test('goes from every host, also from one whose agent is away when it is deleted', async () => {
    await lab.host(3).killAgent();
    await one.detach();
    await two.detach();
    await eventually(
      'the containers are not known any more',
      async () => {
        const { endpoints } = await registry.get('blue');
        return endpoints.size === 0;
      },
      PATIENT,
    );
    await removeSegment(registry, 'blue');
    await lab.host(3).startAgent();
    await eventually('nothing of it is left', async () => {
      const left = await Promise.all(lab.hosts.map(host => host.shell('ip -brief link')));
      const rules = await Promise.all(lab.hosts.map(host => host.shell('iptables-save')));
      return !left.some(text => /\bt[bv]-/.test(text)) && !rules.some(text => text.includes('10.88.'));
    });
  });
});
