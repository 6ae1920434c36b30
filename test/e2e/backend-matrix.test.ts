/**
 * Every backend, in every family it carries, through what happens to a network: an agent is killed, a peer is lost and
 * comes back, the MTU of the underlay changes. One lab for each, with the events in turn.
 *
 *     docker1/c1 --- docker1 ==== backend over IPv4, IPv6 or both ==== docker2 --- docker2/c1
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FAMILIES, type Family } from '../../src/base/ip.ts';
import { valuesOf } from '../../src/base/per-family.ts';
import { LAB_FAMILIES, type LabFamily } from '../../src/lab/topology/simple.ts';
import { SteadyPing } from '../faults/steady-ping.ts';
import { hasFastPath, isFastPathOff } from '../support/both-ways.ts';
import { hasLinkKind, needsRoot } from '../support/capabilities.ts';
import { eventually } from '../support/eventually.ts';
import { labName, lab as runLab, tracesOf } from '../support/lab.ts';
import { LabPair, type PairHost } from '../support/lab-pair.ts';

interface Row {
  readonly backend: { readonly Type: string; readonly [option: string]: unknown };
  /** Bytes around a packet of each family that it carries. */
  readonly overhead: Readonly<Partial<Record<Family, number>>>;
  /** How docker1 reaches containers of docker2 over IPv4. */
  readonly route: RegExp;
  /** All, unless given. */
  readonly families?: readonly LabFamily[];
  /** Kind of link that a kernel may lack; the host must say so then. */
  readonly kind?: string;
}

/** A backend joins with one line. */
const BACKENDS: Readonly<Record<string, Row>> = {
  vxlan: {
    backend: { Type: 'vxlan', VNI: 88, Port: 4789 },
    overhead: { ipv4: 50, ipv6: 70 },
    route: /dev flannel\.88 proto 77 onlink/,
  },
  'vxlan with DirectRouting': {
    backend: { Type: 'vxlan', VNI: 88, Port: 4789, DirectRouting: true },
    overhead: { ipv4: 50, ipv6: 70 },
    route: /via 192\.168\.65\.4 dev eth0 proto 77/,
    families: ['dual'],
  },
  'host-gw': {
    backend: { Type: 'host-gw' },
    overhead: { ipv4: 0, ipv6: 0 },
    route: /via 192\.168\.65\.4 dev eth0 proto 77/,
  },
  ipip: {
    backend: { Type: 'ipip' },
    overhead: { ipv4: 20 },
    route: /dev flannel\.ipip proto 77 onlink/,
    families: ['ipv4'],
    kind: 'ipip',
  },
  udp: {
    backend: { Type: 'udp' },
    overhead: { ipv4: 28, ipv6: 48 },
    route: /dev flannel0 proto 77 scope link/,
  },
  auto: {
    backend: { Type: 'auto', VNI: 88, Port: 4789 },
    overhead: { ipv4: 50, ipv6: 70 },
    route: /via 192\.168\.65\.4 dev eth0 proto 77 src 188\./,
  },
};

const ALL = Object.keys(LAB_FAMILIES) as LabFamily[];

const MTU = 1500;
const SMALLER_MTU = 1400;

interface Scene {
  readonly pair: LabPair;
  /** What the underlay has, to what containers may use. */
  readonly mtuFor: (underlay: number) => number;
}

/** In turn, on the same hosts; after each of them everything is as it should be again. */
const EVENTS: Readonly<Record<string, (scene: Scene) => Promise<void>>> = {
  async 'a packet of the full MTU passes unfragmented, and one byte more does not'({ pair, mtuFor }) {
    for (const ip of valuesOf(pair.second.ip)) {
      assert.equal(await pair.first.fateOfEcho(mtuFor(MTU), ip), 'arrives');
      assert.equal(await pair.first.fateOfEcho(mtuFor(MTU) + 1, ip), 'too long');
    }
  },

  async 'the agent is killed and started again: no packet is lost'({ pair: { first, second } }) {
    const ways = await first.waysTo(second);
    await using stack = new AsyncDisposableStack();
    const pings: SteadyPing[] = [];
    for (const ip of valuesOf(second.ip)) {
      pings.push(stack.use(await SteadyPing.begin(first.containerNetns, ip)));
    }
    await first.killAgent();
    await first.startAgent();
    await first.untilPeers(1);
    for (const ping of pings) {
      const { lost, missing = [] } = await ping.toll();
      assert.equal(lost, 0, `echoes ${missing.join()} were lost`);
    }
    await untilWays(first, second, ways);
  },

  async 'the peer is lost: nothing in the kernel leads to it, and back again: all is as before'({ pair }) {
    const { first, second } = pair;
    const ways = await first.waysTo(second);
    assert.ok(ways.length >= valuesOf(second.record.subnet).length, ways.join('\n'));
    await second.killAgent();
    await first.release(second);
    await first.untilPeers(0);
    await untilWays(first, second, []);
    await second.startAgent();
    await pair.whole();
    await untilWays(first, second, ways);
  },

  async 'the MTU of the underlay changes: subnet.env follows, and packets of that size pass'({
    pair,
    mtuFor,
  }) {
    const hosts = [pair.first, pair.second];
    for (const underlay of [SMALLER_MTU, MTU]) {
      for (const host of hosts) await host.setUnderlayMtu(underlay);
      for (const host of hosts) await host.untilContainerMtu(mtuFor(underlay));
      await pair.whole();
      if (underlay === MTU) continue;
      for (const ip of valuesOf(pair.second.ip)) {
        const size = mtuFor(underlay);
        // A forwarder that is started with another MTU misses a moment.
        await eventually(`${size} bytes come to ${ip}`, () => pair.first.carries(size, ip));
      }
    }
  },
};

const untilWays = (from: PairHost, to: PairHost, expected: readonly string[]) =>
  eventually(`${from.record.name} has the expected entries for ${to.record.name}`, async () => {
    assert.deepEqual(await from.waysTo(to), expected);
    return true;
  });

for (const [name, { backend, overhead, route, families = ALL, kind }] of Object.entries(BACKENDS)) {
  if (isFastPathOff && !hasFastPath(backend.Type)) continue;
  if (kind !== undefined && !hasLinkKind(kind)) {
    test(`${name}, on a kernel without ${kind}: the reason is given`, needsRoot, async () => {
      const lab = labName();
      const config = JSON.stringify(backend);
      const { status, stderr } = await runLab([
        'up',
        '--name',
        lab,
        '--hosts',
        '2',
        '--backend-config',
        config,
      ]);
      assert.equal(status, 1, stderr);
      assert.match(stderr, new RegExp(`flannel\\.${kind}: .*(Unknown device type|not supported)`));
      assert.deepEqual(await tracesOf(lab), []);
    });
    continue;
  }
  for (const family of families) {
    // It is of IPv4 only.
    if (isFastPathOff && family === 'ipv6') continue;
    const added = FAMILIES.filter(each => (LAB_FAMILIES[family] as readonly Family[]).includes(each)).map(
      each => overhead[each] ?? 0,
    );
    const mtuFor = (underlay: number) => underlay - Math.max(...added);

    describe(`${name}, ${family}`, needsRoot, () => {
      test('a network, and what happens to it', async t => {
        await using pair = await LabPair.create({ family, backend });
        await pair.explaining(async () => {
          await pair.whole();
          assert.equal(pair.first.containerMtu, mtuFor(MTU));
          await pair.untilReachable();
          if (family !== 'ipv6') assert.match(await pair.first.routeTo(pair.second), route);
        });
        for (const [event, happen] of Object.entries(EVENTS)) {
          await t.test(event, () =>
            pair.explaining(async () => {
              await happen({ pair, mtuFor });
              await pair.untilReachable();
            }),
          );
        }
      });
    });
  }
}
