/**
 * What the guard of an L2 network lets through, on the real kernel:
 *
 *     a  ns: eth0 10.9.1.1 === pa --- tb --- tv ==VXLAN== tv --- tb --- pb === eth0 10.9.2.1  b
 *                              host one                   host two
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { Mac } from '../../src/base/mac.ts';
import { BridgeGuard } from '../../src/firewall/bridge/bridge-guard.ts';
import type { SegmentGuard } from '../../src/firewall/bridge/guard-table.ts';
import { Netns } from '../../src/sys/netns.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';
import { lostEchoes } from '../support/echoes.ts';
import { eventually } from '../support/eventually.ts';

const GATEWAY_MAC = '02:00:00:00:00:01';
const MACS = { a: '02:00:00:00:00:0a', b: '02:00:00:00:00:0b' } as const;
const IPS = { a: '10.9.1.1', b: '10.9.2.1' } as const;
/** So few that a slow machine sends more, too. */
const LIMIT = 2;
const STORM = 300;

const GUARD: SegmentGuard = {
  name: 'blue',
  tunnelLink: 'tv',
  gateway: { mac: Mac.parse(GATEWAY_MAC), addresses: { ipv4: Ip.parse('10.9.0.1') } },
  floodLimit: LIMIT,
  known: [],
  refused: [],
};

describe('the guard of an L2 network', needsRoot, () => {
  test('lets a storm through at its limit only, counts the rest, and leaves known unicast alone', () =>
    withHosts(async ({ one, apply, drops, received, a }) => {
      await apply({ ...GUARD, known: [MACS.a, MACS.b].map(Mac.parse) });
      const before = await received();
      await a.shell(`ping -n -q -b -i 0.002 -c ${STORM} -W 1 10.9.255.255`, { anyStatus: true });
      // What ping has sent may wait for a processor when it has ended.
      const arrived = await eventually('all have arrived or were dropped', async () => {
        const [now, { 'flood-out': dropped = 0 }] = await Promise.all([received(), drops(one)]);
        return now - before + dropped >= STORM && now - before;
      });
      assert.ok(arrived < STORM / 2, `${arrived} of ${STORM} arrived`);

      assert.equal(await lostEchoes({ from: a.net, to: IPS.b, count: STORM, interval: 2 }), 0);
    }));

  test('limits unicast to a station that is not known', () =>
    withHosts(async ({ one, apply, drops, a }) => {
      await apply(GUARD);
      await a.shell('ip neigh replace 10.9.3.3 lladdr 02:00:00:00:00:33 dev eth0');
      await a.shell(`ping -n -q -i 0.002 -c ${STORM} -W 1 10.9.3.3`, { anyStatus: true });
      await untilDropped(drops, one, 'flood-out', STORM / 2);
    }));

  test('keeps questions and answers about the gateway on their host', () =>
    withHosts(async ({ one, two, apply, drops, a, b }) => {
      await apply(GUARD);
      // Both hosts have the gateway; each container gets the answer of its own.
      for (const each of [a, b]) await each.shell('ping -n -c 1 -W 30 10.9.0.1');
      const lines = await a.shell('ip neigh show 10.9.0.1');
      assert.ok(lines.includes(GATEWAY_MAC));
      await untilDropped(drops, one, 'gateway-out');
      assert.equal((await drops(two))['gateway-in'], 0);
    }));

  test('takes nothing about the gateway from a host that has no guard', () =>
    withHosts(async ({ two, drops, a }) => {
      await two.guard.apply([GUARD]);
      await a.shell('ping -n -c 1 -W 30 10.9.0.1');
      await untilDropped(drops, two, 'gateway-in');
    }));

  test('drops what a duplicate sends from its address, and nothing else of it', () =>
    withHosts(async ({ one, apply, drops, a }) => {
      const refused = [{ port: 'pa', ip: Ip.parse(IPS.a), mac: Mac.parse(MACS.a) }];
      await apply({ ...GUARD, known: [MACS.a, MACS.b].map(Mac.parse), refused });
      await assert.rejects(a.shell(`ping -n -c 1 -W 1 ${IPS.b}`));
      await untilDropped(drops, one, 'duplicate');
      await a.shell('ip address add 10.9.1.2/16 dev eth0');
      await a.shell(`ping -n -c 1 -W 30 -I 10.9.1.2 ${IPS.b}`);
      await apply({ ...GUARD, known: [MACS.a, MACS.b].map(Mac.parse) });
      await a.shell(`ping -n -c 1 -W 30 -I ${IPS.a} ${IPS.b}`);
    }));
});

interface Place {
  /** A command in words without quoting. */
  readonly shell: (command: string, options?: { anyStatus?: boolean }) => Promise<string>;
  /** File of its network namespace. */
  readonly net: string;
}

interface GuardedHost extends Place {
  readonly guard: BridgeGuard;
}

interface Hosts {
  readonly one: GuardedHost;
  readonly two: GuardedHost;
  readonly a: Place;
  readonly b: Place;
  /** Guards both. */
  readonly apply: (guard: SegmentGuard) => Promise<void>;
  readonly drops: (host: GuardedHost) => Promise<Record<string, number>>;
  /** Packets that b has got. */
  readonly received: () => Promise<number>;
}

/** Packets are dropped in the kernel's own time, which may be after the program that sent them has ended. */
const untilDropped = (drops: Hosts['drops'], host: GuardedHost, counter: string, more = 0) =>
  eventually(`${counter} grows`, async () => ((await drops(host))[counter] ?? 0) > more);

async function withHosts(body: (hosts: Hosts) => Promise<void>): Promise<void> {
  await using doors = new AsyncDisposableStack();
  const place = (): Place => {
    const netns = doors.use(Netns.anonymous());
    const net = `/proc/${process.pid}/fd/${netns.fd}`;
    const shell: Place['shell'] = async (command, { anyStatus = false } = {}) => {
      const [program = '', ...args] = command.split(' ');
      return (await run(program, args, { namespaces: { net }, anyStatus })).stdout;
    };
    return { shell, net };
  };
  const host = (): GuardedHost => {
    const made = place();
    const guard = new BridgeGuard(undefined, (program, args, options) =>
      run(program, args, { ...options, namespaces: { net: made.net } }),
    );
    return { ...made, guard };
  };
  const [one, two, a, b] = [host(), host(), place(), place()];
  await one.shell(`ip link add uplink type veth peer name uplink netns ${two.net}`);
  for (const [at, me, inside, name] of [
    [1, one, a, 'a'],
    [2, two, b, 'b'],
  ] as const) {
    for (const command of [
      'ip link set lo up',
      `ip address add 192.0.2.${at}/24 dev uplink`,
      'ip link set uplink up',
      `ip link add tb address ${GATEWAY_MAC} type bridge mcast_snooping 0`,
      `ip link add tv master tb mtu 1450 type vxlan id 42 dstport 4789 local 192.0.2.${at} remote 192.0.2.${3 - at}`,
      'ip address add 10.9.0.1/16 dev tb',
      'ip link set tb mtu 1450 up',
      'ip link set tv up',
      `ip link add p${name} master tb mtu 1450 type veth peer name eth0 mtu 1450 address ${MACS[name]} netns ${inside.net}`,
      `ip link set p${name} up`,
    ]) {
      await me.shell(command);
    }
    await inside.shell(`ip address add ${IPS[name]}/16 brd + dev eth0`);
    await inside.shell('ip link set eth0 up');
    const other = name === 'a' ? 'b' : 'a';
    await inside.shell(`ip neigh replace ${IPS[other]} lladdr ${MACS[other]} dev eth0`);
  }
  await body({
    one,
    two,
    a,
    b,
    apply: async guard => {
      for (const each of [one, two])
        await each.guard.apply([{ ...guard, refused: each === one ? guard.refused : [] }]);
    },
    drops: async each => (await each.guard.drops()).get('blue') ?? assert.fail('it is not guarded'),
    received: async () => {
      const [link] = JSON.parse(await b.shell('ip -json -s link show eth0')) as {
        stats64: { rx: { packets: number } };
      }[];
      return link?.stats64.rx.packets ?? 0;
    },
  });
}
