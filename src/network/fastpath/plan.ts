/**
 * Which links have the programs of the fast path, and why the others have none: a pure decision over what this host has
 * at one moment. A packet that takes the fast path passes none of the links between uplink and container, so that whatever
 * else is at one of them must not depend on it.
 *
 *     uplink ── tunnel device ── (routes) ── bridge ── host end ── container
 */
import type { FastPathNetwork, FastPathObstacle } from '../../api/fast-path.ts';
import { defined } from '../../base/defined.ts';
import type { Prefix } from '../../base/prefix.ts';
import type { DesiredProgram } from '../../dataplane/programs.ts';
import { programName } from '../../fastpath/programs/build.ts';
import { ROLES, type Role } from '../../fastpath/roles.ts';
import type { Address, Link } from '../../netlink/route/objects.ts';
import type { LinkLook } from './link-look.ts';
import { limited, notEthernet, OBSTACLES, watched } from './obstacle.ts';

/** The outer header of our packets names it. */
export interface FastPathTunnel {
  /** UDP port. */
  readonly port: number;
  readonly vni: number;
}

/** A network whose packets cross between hosts in VXLAN. */
export interface CarriedNetwork {
  readonly name: string;
  /** Why packets of it take the normal path, whatever links there are. */
  readonly obstacle?: FastPathObstacle;
  readonly uplink?: { readonly index: number };
  /** Of all containers that may be on it, here and elsewhere. */
  readonly addresses: readonly Prefix[];
  readonly tunnels: readonly (FastPathTunnel & { readonly link: string })[];
  /** Of this host: containers are behind bridges with an address in it, and where routes into it lead. */
  readonly block?: Prefix;
  /** Name of the one bridge that containers are on. */
  readonly bridge?: string;
}

/** What this host has. */
export interface FastPathHost {
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  /** Straight to a link (by its index), by others than this program. */
  readonly routes: ReadonlyMap<number, readonly Prefix[]>;
  /** What is at a link besides ours, by its index; absent where that is nothing. */
  readonly at: ReadonlyMap<number, LinkLook>;
}

export interface FastPathPlan {
  readonly programs: readonly DesiredProgram[];
  readonly tunnels: readonly FastPathTunnel[];
  readonly networks: readonly FastPathNetwork[];
  /** Indexes of the links that the decision depends on. */
  readonly links: ReadonlySet<number>;
}

/** linux/if_arp.h. */
const ARPHRD_ETHER = 1;

/** Queues that no packet waits in for longer than the link needs: what links have unless somebody says otherwise. */
const FREE_QUEUES: ReadonlySet<string> = new Set(['noqueue', 'pfifo_fast', 'fq_codel']);

/** @param obstacle of this host, whatever its networks. */
export function planFastPath(
  networks: readonly CarriedNetwork[],
  host: FastPathHost,
  obstacle?: FastPathObstacle,
): FastPathPlan {
  /** VNI by name of the link. */
  const ends = new Map<string, number>();
  const uplinks = new Set<string>();
  const tunnels: FastPathTunnel[] = [];
  const depends = new Set<number>();
  const reports = networks.map((network): FastPathNetwork => {
    const uplink = host.links.find(({ index }) => index === network.uplink?.index);
    const between = host.links.filter(({ name }) => network.tunnels.some(({ link }) => link === name));
    for (const { index } of [...(uplink ? [uplink] : []), ...between]) depends.add(index);
    const reason =
      obstacle ?? network.obstacle ?? uplinkObstacle(uplink, host) ?? firstOf(between, host, passedObstacle);
    const found = reason === undefined ? hostEnds(network, host) : [];
    const usable = found.filter(end => end.obstacle === undefined);
    for (const { link, bridge } of found) {
      depends.add(link.index);
      if (bridge !== undefined) depends.add(bridge.index);
    }
    // Of two, the second goes when all peers have followed to the first.
    const [tunnel] = network.tunnels;
    if (uplink !== undefined && tunnel !== undefined && usable.length > 0) {
      uplinks.add(uplink.name);
      for (const { link } of usable) ends.set(link.name, tunnel.vni);
      tunnels.push(...network.tunnels.map(({ port, vni }) => ({ port, vni })));
    }
    return {
      name: network.name,
      links: usable.map(({ link }) => link.name),
      without: found.flatMap(({ link, obstacle: why }) => (why ? [{ link: link.name, ...why }] : [])),
      ...defined({ obstacle: reason ?? (found.length === 0 ? OBSTACLES.noContainers : undefined) }),
    };
  });
  return {
    programs: [
      ...[...uplinks].flatMap(link => programsAt('uplink', link, 0)),
      ...Array.from(ends).flatMap(([link, vni]) => programsAt('host end', link, vni)),
    ],
    tunnels,
    networks: reports,
    links: depends,
  };
}

function programsAt(place: (typeof ROLES)[Role]['at'], link: string, vni: number): DesiredProgram[] {
  const roles = (Object.keys(ROLES) as Role[]).filter(role => ROLES[role].at === place);
  return roles.map(role => ({ link, point: ROLES[role].point, program: programName(role, vni) }));
}

/** What packets take instead of the way past it, besides the link's own queue, which all pass. */
function uplinkObstacle(uplink: Link | undefined, { at }: FastPathHost): FastPathObstacle | undefined {
  if (uplink === undefined) return undefined;
  if (uplink.type !== ARPHRD_ETHER) return notEthernet(uplink.name);
  const [other] = at.get(uplink.index)?.ingress ?? [];
  return other === undefined ? undefined : watched(uplink.name, other);
}

/** A link that packets of fast flows do not pass. */
function passedObstacle(
  { index, name, xdpProgram = 0 }: Link,
  { at }: FastPathHost,
): FastPathObstacle | undefined {
  const { queue = 'noqueue', ingress = [], egress = [] } = at.get(index) ?? {};
  if (!FREE_QUEUES.has(queue)) return limited(name, queue);
  const [other] = [...ingress, ...egress, ...(xdpProgram === 0 ? [] : [`an XDP program (id ${xdpProgram})`])];
  return other === undefined ? undefined : watched(name, other);
}

interface HostEnd {
  readonly link: Link;
  readonly bridge?: Link;
  readonly obstacle: FastPathObstacle | undefined;
}

/** Links whose other end a container has. */
function hostEnds({ block, bridge: name }: CarriedNetwork, host: FastPathHost): HostEnd[] {
  const isIn = (index: number) =>
    host.addresses.some(address => address.index === index && block?.contains(address.ip) === true);
  const bridges = new Map(
    host.links
      .filter(link => link.info?.kind === 'bridge' && (link.name === name || isIn(link.index)))
      .map(link => [link.index, link]),
  );
  return host.links.flatMap((link): HostEnd[] => {
    if (link.info?.kind !== 'veth') return [];
    const bridge = link.master === undefined ? undefined : bridges.get(link.master);
    const isRouted =
      link.master === undefined &&
      block !== undefined &&
      host.routes.get(link.index)?.some(destination => block.contains(destination)) === true;
    if (bridge === undefined && !isRouted) return [];
    // The kernel drops what is handed over to a peer in the same namespace.
    const obstacle = link.netnsId === undefined ? OBSTACLES.sameNamespace : undefined;
    const passed = [link, ...(bridge ? [bridge] : [])];
    return [{ link, ...defined({ bridge }), obstacle: obstacle ?? firstOf(passed, host, passedObstacle) }];
  });
}

function firstOf(
  links: readonly Link[],
  host: FastPathHost,
  obstacleOf: (link: Link, host: FastPathHost) => FastPathObstacle | undefined,
): FastPathObstacle | undefined {
  for (const link of links) {
    const obstacle = obstacleOf(link, host);
    if (obstacle !== undefined) return obstacle;
  }
  return undefined;
}
