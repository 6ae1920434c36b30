/** Whose a device and its addresses are: what is another network's stays, what is ours and not wanted goes. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { Prefix } from '../../src/base/prefix.ts';
import type { DesiredHost } from '../../src/dataplane/desired.ts';
import {
  DEVICE,
  desiredHost,
  device,
  lines,
  peer,
  Running,
  TestHost,
} from '../integration/dataplane-host.ts';
import { needsRoot } from '../support/capabilities.ts';
import { eventually } from '../support/eventually.ts';

const VXLAN = 'type vxlan id 88 dev eth0 local 192.168.65.3 dstport 4789 nolearning';

/** What the kernel has by itself on every link, as soon as it has a carrier. */
const BY_ITSELF = /^\d+: (lo|eth\d)\b|fe80|ff00::|33:33:|01:00:5e:/;

/** Everything the kernel has of other programs. */
const look = (host: TestHost) =>
  [
    'ip -d link',
    'ip -o address',
    'ip neigh show nud permanent',
    'ip nexthop',
    'ip route show table all',
    'ip -6 route show table all',
    'bridge fdb',
  ]
    .flatMap(command => lines(host.sh(command)))
    // An address in one line, without the number of its link.
    .map(line => line.replace(/^\d+: (\S+) +(?=inet)/, '$1 '))
    .filter(line => !BY_ITSELF.test(line))
    .map(line => line.replace(/ (tentative|state \w+|<.*?>)/g, ''));

/** The kernel makes the local route of an IPv6 address in its own time. */
async function untilRouted(host: TestHost): Promise<void> {
  const added = lines(host.sh('ip -o -6 address show scope global'));
  await eventually('addresses have local routes', async () => {
    const local = host.sh('ip -6 route show table local');
    return added.every(line => local.includes(`local ${/inet6 ([^/]*)/.exec(line)?.[1]} `));
  });
}

/** The same host with this network, its own subnet .1. */
function inNetwork(host: TestHost, network: string, base: string): DesiredHost {
  const [own] = desiredHost(device(host)).addresses;
  return {
    ...desiredHost(device(host)),
    networks: [Prefix.parse(network)],
    addresses: [{ link: own?.link ?? '', address: { ip: Ip.parse(base), length: 32 } }],
  };
}

const addresses = (host: TestHost) =>
  lines(host.sh(`ip -o address show dev ${DEVICE} scope global`)).map(line => line.split(' ')[3]);

describe('a device of another network', needsRoot, () => {
  for (const [what, evidence, actions] of [
    [
      'as k3s has it',
      /address 10\.42\.0\.0\/32/,
      [
        `ip address add 10.42.0.0/32 dev ${DEVICE}`,
        `ip link set ${DEVICE} up`,
        `ip neigh add 10.42.1.0 lladdr 02:00:00:00:09:01 dev ${DEVICE} nud permanent`,
        `bridge fdb add 02:00:00:00:09:01 dev ${DEVICE} dst 192.168.65.9 self permanent`,
        `ip route add 10.42.1.0/24 via 10.42.1.0 dev ${DEVICE} onlink`,
        'ip link add cni0 type bridge',
        'ip address add 10.42.0.1/24 dev cni0',
      ],
    ],
    [
      'with IPv6 alone',
      /address fd42::\/128/,
      [`ip link set ${DEVICE} up`, `ip address add fd42::/128 dev ${DEVICE} nodad`],
    ],
    [
      'with routes alone',
      /route 10\.42\.1\.0\/24/,
      [`ip link set ${DEVICE} up`, `ip route add 10.42.1.0/24 dev ${DEVICE}`],
    ],
    [
      'with next hop objects',
      /route 10\.42\.1\.0\/24/,
      [
        `ip link set ${DEVICE} up`,
        `ip nexthop add id 9 via 10.42.1.0 dev ${DEVICE} onlink proto 77`,
        'ip route add 10.42.1.0/24 nhid 9 proto 77',
      ],
    ],
    [
      'with neighbors alone',
      /neighbor 10\.42\.1\.0/,
      [`ip neigh add 10.42.1.0 lladdr 02:00:00:00:09:01 dev ${DEVICE} nud permanent`],
    ],
    [
      'with FDB entries alone',
      /FDB entry 02:00:00:00:09:01 dst 192\.168\.65\.9/,
      [`bridge fdb add 02:00:00:00:09:01 dev ${DEVICE} dst 192.168.65.9 self permanent`],
    ],
  ] as const) {
    test(`A1: stays as it is, ${what}, and gives way by going`, async () => {
      using host = new TestHost();
      host.sh(`ip link add ${DEVICE} ${VXLAN}`);
      for (const action of actions) host.sh(action);
      await untilRouted(host);
      const before = look(host);
      await using running = new Running(host);
      const result = await running.begin(host);
      assert.deepEqual({ inSync: result.inSync, writes: result.writes }, { inSync: false, writes: 0 });
      const [link] = running.plane.report().links;
      assert.equal(link?.code, 'NOT_OURS');
      assert.match(link.reason ?? '', evidence);
      assert.match(link.hint ?? '', /another VNI.*ip link delete flannel\.88/);
      // What is not wanted any more goes, and this was never ours.
      running.network.setHost({ networks: [], links: [], addresses: [], sysctls: [] });
      await running.plane.apply();
      assert.deepEqual(look(host), before);
      await running.begin(host);
      await running.after(
        () => host.sh(`ip link del ${DEVICE}`),
        ({ inSync }) => inSync,
      );
      assert.deepEqual(addresses(host), ['10.3.1.0/32']);
    });
  }

  for (const [what, actions, reason] of [
    [
      'of another name that has our VNI',
      [`ip link add wolke ${VXLAN}`, 'ip address add 10.42.0.0/32 dev wolke'],
      /the device wolke, which carries address 10\.42\.0\.0\/32, has VNI 88 on UDP port 4789 already/,
    ],
    [
      'of our name that is no vxlan',
      [`ip link add ${DEVICE} type bridge`, `ip address add 10.3.1.0/32 dev ${DEVICE}`],
      /flannel\.88 exists and is not a vxlan device/,
    ],
  ] as const) {
    test(`A1: stays as it is, one ${what}, and is named`, async () => {
      using host = new TestHost();
      for (const action of actions) host.sh(action);
      await untilRouted(host);
      const before = look(host);
      await using running = new Running(host);
      const { failures } = await running.begin(host);
      assert.match(failures.join(), reason);
      assert.deepEqual(look(host), before);
      const [, , , name = ''] = (actions[0] ?? '').split(' ');
      await running.after(
        () => host.sh(`ip link del ${name}`),
        ({ inSync }) => inSync,
      );
    });
  }

  test('A1: stays as it is when it takes the place of ours', async () => {
    using host = new TestHost();
    await using running = new Running(host);
    await running.begin(host);
    await running.after(
      () => {
        // The data plane has no turn until all of it is there.
        host.sh(`ip link del ${DEVICE}`);
        host.sh(`ip link add ${DEVICE} ${VXLAN}`);
        host.sh(`ip address add 10.42.0.0/32 dev ${DEVICE}`);
      },
      ({ inSync }) => !inSync,
    );
    assert.equal(running.plane.report().links[0]?.code, 'NOT_OURS');
    assert.deepEqual(addresses(host), ['10.42.0.0/32']);
  });

  test('A1: of the same network is taken over, whatever its MAC address', async () => {
    using host = new TestHost();
    for (const action of [
      `ip link add ${DEVICE} ${VXLAN}`,
      `ip address add 10.3.1.0/32 dev ${DEVICE}`,
      `ip link set ${DEVICE} up`,
      `ip route add 10.3.2.0/24 via 10.3.2.0 dev ${DEVICE} onlink`,
      `ip route add 10.99.0.0/24 via 10.3.2.0 dev ${DEVICE} onlink`,
    ]) {
      host.sh(action);
    }
    const index = host.indexOf(DEVICE);
    await using running = new Running(host);
    assert.equal((await running.begin(host)).inSync, true);
    assert.equal(host.indexOf(DEVICE), index);
  });
});

describe('addresses of our device', needsRoot, () => {
  test('B1: another network takes the place of the former one, whose address goes', async () => {
    using host = new TestHost();
    await using running = new Running(host);
    await running.begin(host);
    running.network.set({ host: inNetwork(host, '10.77.0.0/16', '10.77.1.0'), peers: [] });
    assert.equal((await running.plane.apply()).inSync, true);
    assert.deepEqual(addresses(host), ['10.77.1.0/32']);
  });

  test('B1: the same when the network changed while nobody looked, also in IPv6', async () => {
    using host = new TestHost();
    {
      await using running = new Running(host);
      await running.begin(host);
    }
    host.sh(`ip address add fd00:3::/128 dev ${DEVICE} nodad`);
    await using running = new Running(host);
    running.network.set({ host: inNetwork(host, '10.77.0.0/16', '10.77.1.0'), peers: [peer(2)] });
    assert.equal((await running.plane.apply()).inSync, true);
    assert.deepEqual(addresses(host), ['10.77.1.0/32']);
    // The kernel gives the link its own address once it has seen the carrier.
    await eventually('the address of the link stays', async () =>
      host.sh(`ip -6 address show dev ${DEVICE}`).includes('fe80::'),
    );
  });

  for (const address of ['10.99.0.1/24', '10.3.1.1/32', 'fd99::1/64']) {
    test(`B1: ${address} that another program adds is removed`, async () => {
      using host = new TestHost();
      await using running = new Running(host);
      await running.begin(host);
      const repairs = await running.after(
        () => host.sh(`ip address add ${address} dev ${DEVICE}${address.includes(':') ? ' nodad' : ''}`),
        ({ inSync }) => inSync && !addresses(host).includes(address),
      );
      assert.ok(repairs.some(({ object, action }) => object === 'address' && action === 'removed'));
    });
  }
});
