/**
 * Three ways to program peers into a kernel. Each does the same four things in a fresh namespace:
 *
 *     cold    from an empty device to all peers
 *     one     a peer among all has another MAC and another underlay address
 *     resync  one peer in a hundred has lost its entries; make everything right again
 *     noop    nothing has been lost; make sure of it
 *
 * Only the engine compares, so for the two others `resync` and `noop` are the same: everything is written again,
 * which is what a restart of flanneld or a rerun of a script does.
 */
import { vxlanPath } from '../../backend/vxlan-path.ts';
import { silentLogger } from '../../base/log.ts';
import { Prefix } from '../../base/prefix.ts';
import type { DesiredPeer } from '../../dataplane/desired.ts';
import { openDataPlane } from '../../dataplane/open-data-plane.ts';
import type { Change } from '../../netlink/protocol.ts';
import { change } from '../../netlink/route/change.ts';
import { RTNH_F_ONLINK } from '../../netlink/route/constants.ts';
import { run } from '../../sys/process.ts';
import { sysctlsOf } from '../../sys/sysctl.ts';
import { BENCH_DEVICE, type BenchHost, type BenchPeer, OWN_BASE } from './bench-host.ts';

/** One way of programming, bound to a host. Each step resolves with the requests it took. */
export interface Shape extends AsyncDisposable {
  cold(paths: readonly BenchPeer[]): Promise<number>;
  /** @param path replaces that of the same subnet. */
  one(path: BenchPeer): Promise<number>;
  /** Makes everything right, whatever is wrong. */
  resync(): Promise<number>;
}

export const SHAPES = {
  engine: openEngine,
  flannel: openFlannel,
  iproute2: openIproute2,
} as const satisfies Record<string, (host: BenchHost) => Promise<Shape>>;

export type ShapeName = keyof typeof SHAPES;

/** Ours, with everything the agent has running: the watcher of announcements too. */
async function openEngine(host: BenchHost): Promise<Shape> {
  const { rtnetlink, netns } = host;
  const dataPlane = openDataPlane({
    rtnetlink,
    logger: silentLogger,
    sysctls: sysctlsOf(netns),
  });
  const network = dataPlane.network('benchmark');
  network.setHost({
    networks: [Prefix.of(OWN_BASE.ip, 8)],
    links: [host.device],
    addresses: [{ link: BENCH_DEVICE, address: OWN_BASE }],
    sysctls: [],
  });
  await dataPlane.apply();
  const peer = (path: BenchPeer): DesiredPeer => ({
    key: path.subnet.toString(),
    revision: 1n,
    paths: [vxlanPath(path)],
  });
  const applied = async (result = dataPlane.apply()) => {
    const { inSync, writes, failures } = await result;
    if (!inSync) throw new Error(`the engine is not in sync: ${failures[0] ?? 'no reason given'}`);
    return writes;
  };
  return {
    cold(paths) {
      network.setPeers(paths.map(peer));
      return applied();
    },
    one(path) {
      network.setPeer(peer(path));
      return applied();
    },
    resync: () => applied(dataPlane.resync('benchmark')),
    [Symbol.asyncDispose]: () => dataPlane[Symbol.asyncDispose](),
  };
}

/** The requests of flanneld for one peer, in its order (flannel pkg/backend/vxlan/vxlan_network.go). */
export function flannelChanges(index: number, { subnet, gateway, mac, underlayIp }: BenchPeer): Change[] {
  return [
    change.replaceNeighbor({ index, ip: gateway, mac }),
    change.replaceFdb({ index, mac, destination: underlayIp }),
    change.replaceRoute({ destination: subnet, gateway, oif: index, flags: RTNH_F_ONLINK }),
  ];
}

/** flanneld's: three requests per peer, each answered before the next is sent. It opens a socket for each, we do not. */
async function openFlannel(host: BenchHost): Promise<Shape> {
  const { rtnetlink } = host;
  const index = await host.addDevice();
  const known = new Map<string, BenchPeer>();
  const add = async (path: BenchPeer) => {
    known.set(path.subnet.toString(), path);
    for (const one of flannelChanges(index, path)) {
      const [error] = await rtnetlink.apply([one]);
      if (error !== undefined) throw error;
    }
    return 3;
  };
  const addAll = async (paths: Iterable<BenchPeer>) => {
    let writes = 0;
    for (const path of paths) writes += await add(path);
    return writes;
  };
  return {
    cold: addAll,
    one: add,
    resync: () => addAll([...known.values()]),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A script's: the lines for all peers through one `ip` and one `bridge`. */
async function openIproute2(host: BenchHost): Promise<Shape> {
  await host.addDevice();
  const known = new Map<string, BenchPeer>();
  const program = async (paths: readonly BenchPeer[]) => {
    for (const path of paths) known.set(path.subnet.toString(), path);
    const neighbors = paths.map(
      ({ gateway, mac }) => `neighbor replace ${gateway} lladdr ${mac} dev ${BENCH_DEVICE} nud permanent\n`,
    );
    const entries = paths.map(
      ({ mac, underlayIp }) => `fdb replace ${mac} dev ${BENCH_DEVICE} dst ${underlayIp} self permanent\n`,
    );
    const routes = paths.map(
      ({ subnet, gateway }) => `route replace ${subnet} via ${gateway} dev ${BENCH_DEVICE} onlink\n`,
    );
    const options = { namespaces: { net: host.path }, timeout: 3_600_000 };
    await run('bridge', ['-batch', '-'], { ...options, input: entries.join('') });
    await run('ip', ['-batch', '-'], { ...options, input: [...neighbors, ...routes].join('') });
    return neighbors.length + entries.length + routes.length;
  };
  return {
    cold: program,
    one: path => program([path]),
    resync: () => program([...known.values()]),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** Takes the entries of these peers away without the knowledge of the program that made them. */
export async function lose(host: BenchHost, paths: readonly BenchPeer[]): Promise<void> {
  const index = (await host.rtnetlink.links.get(BENCH_DEVICE))?.index ?? 0;
  await host.rtnetlink.apply(
    paths.flatMap(({ subnet, gateway, mac }) => [
      change.deleteRoute({ destination: subnet }),
      change.deleteFdb({ index, mac }),
      change.deleteNeighbor({ index, ip: gateway }),
    ]),
  );
}
