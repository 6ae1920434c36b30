/**
 * The ladder of a peer: from the address of its host to a container inside it, small packets and the largest ones. Pure: what
 * is known of both hosts in, questions out.
 */
import type { InspectedContainer } from '../../api/inspection.ts';
import { defined } from '../../base/defined.ts';
import { type Family, Ip } from '../../base/ip.ts';
import { familiesOf, valuesOf } from '../../base/per-family.ts';
import type { Prefix } from '../../base/prefix.ts';
import { ECHO_HEADER, IP_HEADERS } from '../../probe/icmp.ts';
import { type Rung, type RungKind, type RungResult, rungState } from './rung.ts';
import { type CheckSite, commonFamilies, type PeerSite } from './site.ts';

/** Containers of one host that are asked, or ask: a fault that all have is seen in each. */
const MOST_OWN = 8;
const MOST_THEIRS = 16;

/** What is inside the hosts. */
export interface Inside {
  /** Of this host: those whose namespaces can be entered. */
  readonly own: readonly InspectedContainer[];
  /** Of the peer; empty where nothing is known. */
  readonly theirs: readonly InspectedContainer[];
  /** Of the peer's bridges. */
  readonly bridges: readonly string[];
  /** The address that was asked for, if any. */
  readonly wanted?: Ip;
}

export const smallest = (family: Family): number => IP_HEADERS[family] + ECHO_HEADER;

/** The rungs of a peer that need nothing from inside the hosts: flannel's answer them too. */
export function outerRungs(site: CheckSite, peer: PeerSite): Rung[] {
  const underlay = valuesOf(peer.underlay).flatMap(to => {
    const source = site.underlay[to.family];
    return rungPair({ kind: 'underlay', to, source, target: peer.name, peer }, site.underlayMtu);
  });
  const tunnel = commonFamilies(site, peer).flatMap(family => {
    const [own, its] = [site.subnets[family], peer.subnets[family]];
    if (own === undefined || its === undefined || site.tunnel[family] === undefined) return [];
    return rungPair(
      { kind: 'tunnel', to: its.ip, source: own.ip, target: `the tunnel of ${peer.name}`, peer },
      site.overlayMtu,
    );
  });
  return [...underlay, ...tunnel];
}

/** What is asked of the peer's bridge and containers, and from containers of this host. */
export function innerRungs(site: CheckSite, peer: PeerSite, inside: Inside): Rung[] {
  return commonFamilies(site, peer).flatMap(family => {
    const [subnet, ownSubnet] = [peer.subnets[family], site.subnets[family]];
    if (subnet === undefined || ownSubnet === undefined) return [];
    const theirs = placesIn(inside.theirs, subnet).slice(0, MOST_THEIRS);
    if (inside.wanted !== undefined && subnet.contains(inside.wanted)) addWanted(theirs, inside.wanted);
    const own = placesIn(inside.own, ownSubnet).slice(0, MOST_OWN);
    const bridges = inside.bridges
      .flatMap(text => Ip.tryParse(text) ?? [])
      .filter(ip => subnet.contains(ip) && !ip.equals(subnet.ip))
      .slice(0, 1);
    const [first] = theirs;
    const [ownFirst, ...ownOthers] = own;
    const between = (from: Place, to: Place) =>
      rungPair(
        {
          kind: 'container',
          to: to.ip,
          source: from.ip,
          container: from.name,
          target: `${to.name} of ${peer.name}`,
          peer,
        },
        site.overlayMtu,
      );
    return [
      ...bridges.flatMap(to => smallRung({ kind: 'bridge', to, target: `the bridge of ${peer.name}`, peer })),
      ...theirs.flatMap(({ ip, name }) =>
        smallRung({ kind: 'host', to: ip, target: `${name} of ${peer.name}`, peer }),
      ),
      // Where no container can ask, this host does.
      ...(ownFirst === undefined ? [] : theirs.flatMap(to => between(ownFirst, to))),
      ...(first === undefined ? [] : ownOthers.flatMap(from => between(from, first))),
    ];
  });
}

/**
 * For each container that answers pings: whether it answers a request for a connection. A port that nobody listens at is
 * refused; two of them, because one may be meant to be closed.
 */
export function connectionRungs(results: readonly RungResult[], random = Math.random): Rung[] {
  const answering = results.filter(
    rung => rung.kind === 'container' && rung.size === 'small' && rungState(rung) === 'ok',
  );
  const first = new Map(answering.toReversed().map(rung => [String(rung.to), rung]));
  return [...first.values()].map(({ container, source, to, peer, target, bytes }) => ({
    kind: 'tcp',
    size: 'small',
    bytes,
    ...defined({ container, source, peer }),
    to,
    target,
    ports: [80, 40_000 + Math.floor(20_000 * random())],
  }));
}

/** What stays on this host: each container asks its bridge, and the next container. */
export function ownRungs(
  site: CheckSite,
  own: readonly InspectedContainer[],
  bridges: readonly string[],
): Rung[] {
  return familiesOf(site.subnets).flatMap(family => {
    const subnet = site.subnets[family];
    if (subnet === undefined) return [];
    const places = placesIn(own, subnet).slice(0, MOST_THEIRS);
    const gateways = bridges
      .flatMap(text => Ip.tryParse(text) ?? [])
      .filter(ip => subnet.contains(ip) && !ip.equals(subnet.ip))
      .slice(0, 1);
    return places.flatMap((from, at) => {
      const next = places[(at + 1) % places.length];
      return [
        ...gateways.flatMap(to =>
          smallRung({
            kind: 'gateway',
            to,
            source: from.ip,
            container: from.name,
            target: 'its bridge',
          }),
        ),
        ...(next === undefined || next === from || next.bridge !== from.bridge
          ? []
          : smallRung({
              kind: 'neighbor',
              to: next.ip,
              source: from.ip,
              container: from.name,
              target: next.name,
            })),
      ];
    });
  });
}

interface Place {
  readonly name: string;
  readonly ip: Ip;
  readonly bridge?: string | undefined;
}

/** Containers with an address in the block, each with its first. */
function placesIn(containers: readonly InspectedContainer[], block: Prefix): Place[] {
  return containers.flatMap(({ name, addresses, bridge }) => {
    const ip = addresses.flatMap(text => Ip.tryParse(text) ?? []).find(address => block.contains(address));
    return ip === undefined ? [] : [{ name, ip, bridge }];
  });
}

function addWanted(places: Place[], wanted: Ip): void {
  const known = places.find(({ ip }) => ip.equals(wanted));
  places.length = 0;
  places.push(known ?? { name: String(wanted), ip: wanted });
}

export interface RungQuestion {
  readonly kind: RungKind;
  readonly to: Ip;
  readonly source?: Ip | undefined;
  readonly container?: string;
  readonly target: string;
  readonly peer?: PeerSite;
}

export function smallRung({ source, peer, ...rest }: RungQuestion): Rung[] {
  return [
    {
      ...rest,
      ...(source !== undefined && { source }),
      ...(peer !== undefined && { peer: peer.name }),
      size: 'small',
      bytes: smallest(rest.to.family),
    },
  ];
}

/** Small and full; only small where the full size is not known. */
export function rungPair(question: RungQuestion, mtu: number): Rung[] {
  const [small] = smallRung(question);
  if (small === undefined) return [];
  return mtu <= small.bytes ? [small] : [small, { ...small, size: 'full', bytes: mtu }];
}
