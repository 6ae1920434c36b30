/**
 * Another program deletes what the agent has made, one kind of object after the other, while containers talk. All of it
 * is repaired when the kernel announces the change, well within a second, and reported.
 *
 *     docker1                                            docker2
 *     c1 - docker0 - FORWARD, FLANNEL-FWD                c1
 *            - route - nexthop - neighbor - FDB entry     |
 *                - flannel.88, its address - eth0 ====== eth0
 *          each of them deleted, flushed, set down, changed
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { AgentEvent } from '../../src/api/messages.ts';
import { TULLE } from '../../src/lab/host/host.ts';
import { DEVICE, type FaultHost, needsFaultLab } from './fault-host.ts';
import { useFaultLab } from './fault-lab.ts';

const METRICS_PORT = 9100;

interface Fault {
  readonly object: string;
  readonly name?: string;
  readonly action: (host: FaultHost, peer: FaultHost) => Promise<unknown>;
  /** The repairs that are reported, at least. */
  readonly repairs: readonly string[];
}

const FAULTS: readonly Fault[] = [
  {
    object: 'route',
    action: (host, peer) => host.shell(`ip route del ${peer.subnet}`),
    repairs: ['restored route'],
  },
  {
    object: 'nexthop',
    action: async host => {
      const [nexthop] = await host.json<{ id: number }>('ip -json nexthop');
      await host.shell(`ip nexthop del id ${nexthop?.id}`);
    },
    // The kernel takes the routes along that use it.
    repairs: ['restored nexthop', 'restored route'],
  },
  {
    object: 'neighbor',
    action: async (host, peer) => host.shell(`ip neigh del ${(await peer.vtep()).base} dev ${DEVICE}`),
    repairs: ['restored neighbor'],
  },
  {
    object: 'fdb',
    action: async (host, peer) => host.shell(`bridge fdb del ${(await peer.vtep()).mac} dev ${DEVICE}`),
    repairs: ['restored fdb'],
  },
  {
    object: 'address',
    action: async host => host.shell(`ip address del ${(await host.vtep()).base}/32 dev ${DEVICE}`),
    repairs: ['restored address'],
  },
  {
    object: 'link',
    name: 'link, deleted',
    action: host => host.shell(`ip link del ${DEVICE}`),
    repairs: ['restored link'],
  },
  {
    object: 'link',
    name: 'link, set down',
    action: host => host.shell(`ip link set ${DEVICE} down`),
    repairs: ['replaced link'],
  },
  {
    object: 'link',
    name: 'link, given another MAC address and MTU',
    action: host => host.shell(`ip link set ${DEVICE} address 02:00:00:00:00:99 mtu 1300`),
    repairs: ['replaced link'],
  },
  {
    object: 'route',
    name: 'route, replaced by a blackhole',
    action: (host, peer) => host.shell(`ip route replace blackhole ${peer.subnet}`),
    repairs: ['replaced route'],
  },
  {
    object: 'link',
    name: 'link, renamed',
    action: host => host.shell(`ip link set ${DEVICE} name elsewhere`),
    repairs: ['replaced link'],
  },
  {
    object: 'link',
    name: "link, moved into a container's namespace",
    action: host => host.shell(`ip link set ${DEVICE} netns c1`),
    repairs: ['replaced link'],
  },
  {
    object: 'firewall',
    action: host => host.shell('iptables -F FLANNEL-FWD'),
    repairs: ['firewall'],
  },
  {
    object: 'firewall',
    name: 'firewall, a rule that drops everything in front of ours',
    action: host => host.shell('iptables -I FORWARD -j DROP'),
    repairs: ['firewall'],
  },
  {
    object: 'sysctl',
    action: host => host.shell(`sysctl -q -w net/ipv4/conf/${DEVICE}/forwarding=0`),
    repairs: ['replaced sysctl'],
  },
  {
    object: 'sysctl',
    name: 'sysctl, of which the kernel announces no change',
    action: host => host.shell(`sysctl -q -w net/ipv6/conf/${DEVICE}/accept_ra=1`),
    repairs: ['replaced sysctl'],
  },
];

/** `restored route`; only `firewall` where the object is a rule. */
const summary = ({ fields }: AgentEvent): string =>
  [fields['action'], fields['object']].filter(word => typeof word === 'string').join(' ');

describe('what another program deletes comes back', needsFaultLab, () => {
  const lab = useFaultLab({ flags: [`--metrics-port=${METRICS_PORT}`] });
  before(async () => {
    // As dockerd does; without the agent's rules nothing passes.
    await lab.host(1).shell('iptables -P FORWARD DROP');
  });

  const repairsOf = async (object: string): Promise<number> => {
    const text = await lab.host(1).shell(`busybox wget -q -O - http://127.0.0.1:${METRICS_PORT}/metrics`);
    return Number(
      new RegExp(`^tulle_drift_repairs_total{object="${object}"} (\\d+)$`, 'm').exec(text)?.[1] ?? 0,
    );
  };

  const cpuOf = async (): Promise<number> => {
    const text = await lab.host(1).shell(`busybox wget -q -O - http://127.0.0.1:${METRICS_PORT}/metrics`);
    return Number(/^process_cpu_seconds_total (\S+)$/m.exec(text)?.[1]);
  };

  for (const { object, name = object, action, repairs } of FAULTS) {
    test(name, async t => {
      const host = lab.host(1);
      const device = await host.vtep();
      const lost = await lab.survive(async () => {
        const [counted, last] = [await repairsOf(object), await host.lastEvent()];
        await action(host, lab.host(2));
        const repaired = await host.eventsUntil(last, events =>
          repairs.every(repair => events.map(summary).includes(repair)),
        );
        assert.ok(repaired.filter(({ type }) => type === 'drift-repaired').length >= repairs.length);
        assert.ok((await repairsOf(object)) > counted, 'it is counted');
      });
      assert.deepEqual(await host.vtep(), device, 'peers need not learn anything');
      t.diagnostic(`${lost} packets lost, ${lost * 20} ms`);
    });
  }

  test('that the host stops forwarding is reported at once, and not changed', async () => {
    const host = lab.host(1);
    const last = await host.lastEvent();
    await host.shell('sysctl -q -w net/ipv4/ip_forward=0');
    await host.eventsUntil(last, events =>
      events.some(({ type, fields }) => type === 'warning' && fields['code'] === 'FORWARDING_OFF'),
    );
    assert.equal(await host.shell('sysctl -n net/ipv4/ip_forward'), '0\n');
    await host.shell('sysctl -q -w net/ipv4/ip_forward=1');
    await host.until('it has recovered', ({ warnings }) => warnings.length === 0);
  });

  test('all of it at once', async t => {
    const host = lab.host(1);
    const lost = await lab.survive(async () => {
      const last = await host.lastEvent();
      await host.shell('ip nexthop flush');
      await host.shell(`ip neigh flush dev ${DEVICE} nud permanent`);
      await host.shell(`ip link del ${DEVICE}`);
      await host.shell('iptables -F FLANNEL-FWD');
      await host.eventsUntil(last, events =>
        ['restored link', 'firewall'].every(each => events.map(summary).includes(each)),
      );
    });
    t.diagnostic(`${lost} packets lost, ${lost * 20} ms`);
  });

  test('a program that undoes every repair is reported, and does not keep the agent busy', async t => {
    const host = lab.host(1);
    const subnet = lab.host(2).subnet;
    const actions = `ip route del ${subnet}; iptables -F FLANNEL-FWD`;
    const last = await host.lastEvent();
    const counted = (await repairsOf('route')) + (await repairsOf('firewall'));
    const cpu = await cpuOf();
    const begun = performance.now();
    const loop = `for i in $(seq 400); do ${actions}; sleep 0.01; done 2>/dev/null; true`;
    await host.host.run('sh', ['-c', loop], { timeout: 150_000 });
    const { reason } = await host.untilWarned('CONFLICTING_WRITER');
    const used = (await cpuOf()) - cpu;
    assert.match(reason, /were repaired/);
    // What it has left for later it may repair between the two: the events are those that are counted, or fewer.
    const events = (await Array.fromAsync(host.client.events({ after: last }))).filter(
      ({ type }) => type === 'drift-repaired',
    );
    const repairs = (await repairsOf('route')) + (await repairsOf('firewall')) - counted;
    const seconds = (performance.now() - begun) / 1000;
    assert.ok(repairs > 10 && repairs < 40 + seconds * 6, `${repairs} repairs in ${seconds} s`);
    assert.ok(events.length <= repairs, 'each is reported once');
    await host.until('it is over', ({ warnings }) => warnings.length === 0);
    await lab.whole();
    t.diagnostic(
      `${repairs} repairs, ${events.length} events, ${used.toFixed(2)} s of processor in ${seconds.toFixed(1)} s`,
    );
  });

  test('`tulle events` and `tulle status` show what was repaired', async () => {
    const { stdout } = await lab.host(1).host.run(TULLE, ['events', '--json']);
    const events = stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as AgentEvent);
    const repaired = new Set(events.filter(({ type }) => type === 'drift-repaired').map(summary));
    for (const { repairs } of FAULTS) for (const repair of repairs) assert.ok(repaired.has(repair), repair);
    assert.match(await lab.host(1).shell(`${TULLE} status`), /repaired .*route \d+/);
  });
});
