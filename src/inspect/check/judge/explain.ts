/**
 * Which findings of the hosts explain a failure: on the host and at the place where it was measured, about the container
 * and peer that it has, in agreement with the kernel's reason. What does not explain it is no cause of it. Pure.
 */
import type { Drop, Finding } from '../../../api/inspection.ts';
import type { Place } from './place.ts';
import type { Root } from './roots.ts';
import { isSenderFilter } from './sender-filter.ts';
import type { WaySegment } from './way.ts';

type Layer = Finding['layer'];

const EVERYWHERE: readonly WaySegment[] = ['container', 'bridge', 'forward', 'tunnel', 'wire'];

/** Where what is wrong in a layer can lose packets. A wire begins and ends at a host. */
const SEGMENTS: Readonly<Record<Layer, readonly WaySegment[]>> = {
  container: ['container', 'bridge', 'forward'],
  bridge: ['container', 'bridge', 'forward'],
  firewall: ['container', 'bridge', 'forward', 'tunnel'],
  nat: EVERYWHERE,
  routing: ['container', 'bridge', 'forward', 'tunnel'],
  neighbor: ['bridge', 'forward', 'tunnel', 'wire'],
  tunnel: ['forward', 'tunnel', 'wire'],
  underlay: ['forward', 'tunnel', 'wire'],
  mtu: EVERYWHERE,
  limits: EVERYWHERE,
  docker: EVERYWHERE,
  agent: EVERYWHERE,
  store: EVERYWHERE,
  identity: EVERYWHERE,
};

/** What the kernel says (include/net/dropreason-core.h) -> the layers in which such a cause is. */
const LAYERS_OF_REASON: readonly (readonly [RegExp, readonly Layer[]])[] = [
  [/^NETFILTER_DROP$|^IPV6_NF|^NF_/, ['firewall', 'nat', 'limits', 'container', 'docker']],
  [/^IP_RPFILTER$/, ['routing', 'underlay', 'container', 'nat', 'identity', 'tunnel']],
  [
    /^NEIGH_|^UNHANDLED_PROTO|^ARP_/,
    ['neighbor', 'container', 'bridge', 'tunnel', 'underlay', 'limits', 'identity'],
  ],
  [
    /^IP_(IN|OUT)NOROUTES$|^IP6?_.*ROUTE|^IP_INADDRERRORS/,
    ['routing', 'container', 'tunnel', 'underlay', 'agent', 'store', 'bridge'],
  ],
  [/^PKT_TOO_BIG$/, ['mtu', 'underlay', 'container', 'bridge', 'tunnel']],
  [
    /^TC_|^QDISC_|^FULL_RING|^CPU_BACKLOG/,
    ['underlay', 'limits', 'firewall', 'tunnel', 'container', 'bridge'],
  ],
  [/^XDP/, ['underlay', 'firewall', 'limits']],
  [/^VXLAN_|^TUNNEL_|^NO_SOCKET$|^MAC_|^LOCAL_MAC/, ['tunnel', 'agent', 'identity', 'store']],
  [/^BRIDGE_|^OTHERHOST$/, ['bridge', 'container', 'neighbor', 'tunnel', 'firewall']],
];

/** Names and addresses by which findings speak of things. */
export interface NamesInText {
  /** This host. */
  readonly here: string;
  /** Host -> container -> what it is called in a text. */
  readonly containers: ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;
  /** Peer -> what it is called in a text. */
  readonly peers: ReadonlyMap<string, readonly string[]>;
}

/**
 * Packets pass without an agent, a store and dockerd: what they have left undone is another finding. Probes of the ladder
 * do not take the fast path.
 */
const isHarmless = ({ code }: Finding) =>
  /^(AGENT|STORE)_(DOWN|HUNG|SILENT|UNAVAILABLE|NOT_READY)$|^(DOCKER_STOPPED|DISK_FULL|SUBNET_FILE_DIFFERS)$|^FAST_PATH_/.test(
    code,
  );

/** What may tell a connection from a ping. */
const FILTERS: readonly Layer[] = ['firewall', 'nat', 'limits', 'docker'];

/** How well a finding explains a failure; 0 when it does not. */
export function explains(finding: Finding, root: Root, place: Place | undefined, named: NamesInText): number {
  if (finding.severity === 'info' || isHarmless(finding)) return 0;
  if (root.rung.kind === 'tcp' && !FILTERS.includes(finding.layer)) return 0;
  // Only frames between containers of one host meet rules because of br_netfilter.
  if (finding.code === 'BRIDGE_NF_CALL' && root.rung.kind !== 'neighbor') return 0;
  if (!isOnTheWay(finding, root, named)) return 0;
  if (!isAboutSize(finding, root) || !isAboutEnds(finding, root, named)) return 0;
  const base = finding.severity === 'error' ? 2 : 1;
  if (place === undefined) return base;
  const { drops, verdicts, segments } = place;
  const [verdict] = verdicts.filter(({ end }) => end !== 'translated');
  // The filter of senders is right: another cause has led the packet there, or changed it.
  if (verdict !== undefined && isSenderFilter(verdict)) return leadsAstray(finding) ? base + 2 : 0;
  if (verdict !== undefined) {
    if (verdict.host !== finding.host || !['firewall', 'nat', 'container', 'docker'].includes(finding.layer))
      return 0;
    return base + 4 + (namesRule(finding, verdict.rule) ? 4 : 0);
  }
  if (silences(finding, place) || filtersArp(finding, place)) return base + 4;
  // What a filter of a link redirects the kernel drops elsewhere, if at all, and for another reason.
  if (seesLast(finding, place)) return base + 4;
  const drop = drops.find(({ reason }) => LAYERS_OF_REASON.some(([pattern]) => pattern.test(reason)));
  if (drop !== undefined) {
    const layers = LAYERS_OF_REASON.find(([pattern]) => pattern.test(drop.reason))?.[1] ?? [];
    if (drop.host === finding.host && (layers.includes(finding.layer) || refusesRoute(finding, drop)))
      return base + 4;
    // The kernel said where it ends: what is elsewhere has at most led it there.
    return leadsAstray(finding) ? base : 0;
  }
  const at = segments.some(
    ({ segment, host }) =>
      host === finding.host &&
      (SEGMENTS[finding.layer].includes(segment) || (finding.layer === 'container' && segment === 'bridge')),
  );
  if (at) return base + 2;
  return leadsAstray(finding) ? base : 0;
}

/** A third host is not: it only may have what is another's. */
const isOnTheWay = ({ host, layer }: Finding, { peer }: Root, { here }: NamesInText): boolean =>
  host === here || host === peer?.peer.name || ['identity', 'store', 'underlay', 'neighbor'].includes(layer);

/** Layers in which a cause that names no peer would lose the packets of all. */
const COMMON: readonly Layer[] = ['routing', 'bridge', 'firewall', 'tunnel', 'underlay', 'mtu', 'docker'];

/** Whether a finding would keep this host from every peer alike: what is about one peer names it, or was measured here. */
export function isOfAll(
  { host, layer, reason, evidence }: Finding,
  { rung, peer }: Root,
  place: Place | undefined,
  { peers }: NamesInText,
): boolean {
  if (peer === undefined || host === peer.peer.name || !COMMON.includes(layer)) return false;
  if (rung.kind !== 'underlay' && rung.kind !== 'tunnel') return false;
  const isMeasured = [...(place?.verdicts ?? []), ...(place?.drops ?? [])].some(one => one.host === host);
  const text = [reason, ...evidence].join('\n');
  return !isMeasured && !(peers.get(peer.peer.name) ?? []).some(name => mentions(text, name));
}

/** How many of the questions that broke a finding is about: what names one container is not about the others. */
export const concerned = (finding: Finding, root: Root, named: NamesInText): number =>
  root.rungs.filter(rung => isAboutEnds(finding, { ...root, rung, rungs: [rung] }, named)).length;

/** A host answers ARP only to sources that its filter of sources lets in (net/ipv4/arp.c, arp_process). */
const silences = ({ code, host }: Finding, { silent }: Place): boolean =>
  code === 'STRICT_RP_FILTER' && silent.some(one => one.host !== host && one.point === 'uplink');

/** Who is asked for by ARP, and who asks, drops nothing when the request or its answer is dropped on the way. */
const filtersArp = ({ code, host, reason }: Finding, { silent, drops }: Place): boolean =>
  code === 'FIREWALL_DROP' &&
  /\bARP\b/.test(reason) &&
  (silent.some(one => one.host === host) ||
    drops.some(drop => drop.host === host && drop.reason.startsWith('NEIGH_')));

/** A tunnel asks for its route and for policies of IPsec at once, and takes their refusal for a missing route (xfrm_lookup_route). */
const refusesRoute = ({ code }: Finding, { reason }: Drop): boolean =>
  code === 'IPSEC_POLICY' && /^IP6?_OUTNOROUTES$/.test(reason);

/** A program or filter on the link where packets were seen coming in last. */
const seesLast = ({ code, host, layer, reason }: Finding, { last }: Place): boolean =>
  ['TC_DROP', 'XDP_PROGRAM'].includes(code) &&
  layer !== 'container' &&
  last?.direction === 'in' &&
  last.host === host &&
  mentions(reason, last.link);

/** A packet with a wrong way, sender or MAC address ends where nothing is wrong. */
const leadsAstray = ({ layer }: Finding) =>
  ['routing', 'neighbor', 'tunnel', 'nat', 'identity', 'store', 'agent', 'container'].includes(layer);

/** What is about sizes explains large packets, and they are explained by that only. */
function isAboutSize({ layer, code }: Finding, { rung }: Root): boolean {
  const isSize = layer === 'mtu' || /MTU|SIZE/.test(code);
  if (rung.size === 'small') return !isSize;
  return isSize || ['firewall', 'underlay', 'limits'].includes(layer);
}

/** It speaks of no other container and no other peer than this failure has. */
function isAboutEnds(
  finding: Finding,
  { rung, peer, rungs }: Root,
  { containers, peers }: NamesInText,
): boolean {
  const text = [finding.reason, ...finding.evidence].join('\n');
  const says = (names: readonly string[]) => names.some(name => mentions(text, name));
  const onHost = containers.get(finding.host);
  if (onHost !== undefined && finding.layer !== 'routing' && finding.layer !== 'identity') {
    // Containers of two hosts may have one name.
    const isThere = finding.host === peer?.peer.name;
    const ends = new Set(
      rungs.flatMap(one =>
        isThere
          ? [String(one.to)]
          : [one.container, String(one.source), ...(peer === undefined ? [String(one.to)] : [])],
      ),
    );
    const named = [...onHost].filter(([, names]) => says(names));
    if (named.length > 0 && !named.some(([, names]) => names.some(name => ends.has(name)))) return false;
  }
  if (peer === undefined) return true;
  const others = [...peers].filter(([name]) => name !== peer.peer.name && name !== finding.host);
  const own = peers.get(peer.peer.name) ?? [];
  if (finding.host === peer.peer.name || says(own)) return true;
  return rung.peer === undefined || !others.some(([, names]) => says(names));
}

/** As a whole word: 10.0.0.1 is not in 10.0.0.11. */
export function mentions(text: string, name: string): boolean {
  const escaped = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`(?<![\\w.:-])${escaped}(?![\\w-]|:[\\da-f:]|\\.\\w)`).test(text);
}

const namesRule = ({ evidence }: Finding, rule: string): boolean =>
  evidence.some(line => line.includes(rule) || rule.includes(line.trim()));
