/**
 * Routing on this host: the kernel is asked for the way of packets as containers here and there send them, with link and
 * source, and of this host's own, towards each peer and back. Its answer has everything in it: policy rules, tables,
 * forwarding, rp_filter. So nothing is found that does not lie on the way of overlay traffic.
 */
import { enumerate } from '../../base/enumerate.ts';
import type { Ip } from '../../base/ip.ts';
import type { Prefix } from '../../base/prefix.ts';
import { follow } from '../../firewall/packets/follow.ts';
import { OVERLAY_MARK } from '../../firewall/packets/overlay-packets.ts';
import type { Link } from '../../netlink/route/objects.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Peer } from '../host/peers.ts';
import { withoutRoute } from './bridge-netmask.ts';
import { type Cause, HERE } from './check.ts';
import { type FibPacket, protocolsIn, protocolWord } from './fib.ts';
import { baseChainsOf } from './firewall-chains.ts';
import { packetAt } from './firewall-flows.ts';
import { forwardingCauses, forwardingOf, ttlCauses } from './forwarding.ts';
import { linksToPeer, stationsOf } from './stations.ts';
import { type Direction, faultOf, lookupText, type OverlayWay, type WayFault } from './way.ts';

/** More of the addresses that single entries are for are not asked about. */
const MOST_SAMPLES = 64;

export async function checkRouting(host: HostReader): Promise<Cause[]> {
  const [rules, routes, addresses, nameOf, peers, settings] = await Promise.all([
    host.policyRules(),
    host.routes(),
    host.addresses(),
    host.nameOf(),
    host.peers(),
    forwardingOf(host),
  ]);
  const facts = { rules, routes, addresses, nameOf, ...settings };
  const asked = await askAll(host, peers, await marksOf(host));
  const faults = asked.flatMap(way => {
    const fault = faultOf(way, facts);
    return fault === undefined ? [] : [{ way, fault }];
  });
  const everywhere = forwardingCauses(settings, await familiesOnWay(host));
  const isOff = everywhere.some(({ code }) => code === 'FORWARDING_OFF');
  return [
    ...everywhere,
    ...ttlCauses(host.sysctl('net/ipv4/ip_default_ttl')),
    ...causesOf(faults.filter(({ fault }) => !isOff || fault.code !== 'LINK_FORWARDING_OFF')),
  ];
}

async function familiesOnWay(host: HostReader) {
  const overlay = await host.overlay();
  return [...new Set(overlay?.subnets.map(({ family }) => family) ?? [])];
}

interface Faulty {
  readonly way: OverlayWay;
  readonly fault: WayFault;
}

/** One for each entry that is at fault, with the ways that it spoils. */
function causesOf(faults: readonly Faulty[]): Cause[] {
  // An answer is looked for by the way that the question takes: one fault spoils both.
  const isFollower = ({ code }: WayFault) => code === 'STRICT_RP_FILTER' || code === 'ROUTE_REFUSED';
  const spoiled = new Set(faults.filter(({ fault }) => !isFollower(fault)).map(({ way }) => way.peer));
  const own = faults.filter(({ way, fault }) => !isFollower(fault) || !spoiled.has(way.peer));
  const groups = Map.groupBy(own, ({ fault }) => `${fault.code} ${fault.entry}`);
  return Array.from(groups.values()).flatMap(group => {
    const [first] = group;
    return first === undefined ? [] : [causeOf(first, group)];
  });
}

function causeOf({ fault }: Faulty, group: readonly Faulty[]): Cause {
  const { code, entry, reason, remedy, fix } = fault;
  return {
    code,
    severity: 'error',
    layer: 'routing',
    reason: reason(packetsText(group.map(({ way }) => way))),
    evidence: [entry, ...new Set(group.slice(0, 4).map(({ way }) => answerText(way)))],
    remedy,
    ...(fix && { fix }),
  };
}

/** `packets of containers here for docker2, docker3`. */
function packetsText(ways: readonly OverlayWay[]): string {
  const of = (wanted: Direction) => [
    ...new Set(ways.filter(({ direction }) => direction === wanted).map(({ peer }) => peer)),
  ];
  const [out, back, own] = [of('out'), of('in'), of('own')];
  const texts = [
    ...(out.length === 0 ? [] : [`containers of ${HERE} for those of ${enumerate(out)}`]),
    ...(back.length === 0 ? [] : [`${enumerate(back)} for containers of ${HERE}`]),
    ...(own.length === 0 || out.length > 0 ? [] : [`${HERE} itself for containers of ${enumerate(own)}`]),
  ];
  const protocols = [...new Set(ways.map(({ packet: { protocol } }) => protocol))];
  const some = protocols.flatMap(each => (each === undefined ? [] : protocolWord(each).toUpperCase()));
  // Of one that is asked about any packets nothing is special.
  const kind = some.length < protocols.length ? '' : `${some.join(' and ')} `;
  return `${kind}packets of ${texts.join(' and of ')}`;
}

function answerText(way: OverlayWay): string {
  return 'refusal' in way.answer ? `${lookupText(way)}: ${way.answer.refusal}` : lookupText(way);
}

/** Asks for all ways between this host and its peers. */
async function askAll(host: HostReader, peers: readonly Peer[], markOf: MarkOf): Promise<OverlayWay[]> {
  const [links, all, members] = await Promise.all([host.links(), stationsOf(host), host.members()]);
  // The bridge's prefix length is a finding of its own.
  const known = withoutRoute(members);
  const stations = all.filter(({ ip }) => !known.some(one => one.equals(ip)));
  const linkOf = (name: string) => links.find(link => link.name === name && link.up);
  const shared = links.filter(isShared).map(({ name }) => name);
  const routed = (
    await Promise.all(peers.map(async peer => ({ peer, names: await linksToPeer(host, peer) })))
  ).filter(({ names }) => names.some(name => linkOf(name) !== undefined));
  const protocols = protocolsIn(await host.policyRules());
  const asked: Promise<OverlayWay>[] = [];
  const askEach = (way: Omit<OverlayWay, 'answer'>, iif?: number) => {
    for (const protocol of protocols)
      asked.push(ask(host, { ...way, packet: { ...way.packet, ...protocol } }, iif));
  };
  for (const { peer, names } of routed) {
    for (const subnet of peer.subnets) {
      const { family } = subnet;
      const out = { peer: peer.name, expected: names, shared, subnetLength: subnet.length };
      const gateways = peer.backendType === 'extension' ? {} : { gateways: [subnet.ip, ...peer.publicIps] };
      const here = stations.filter(({ ip }) => ip.family === family);
      const [station] = here;
      for (const destination of await samplesIn(host, subnet)) {
        askEach({ ...out, ...gateways, direction: 'own', packet: { destination } });
        if (station === undefined) continue;
        const packet = markOf({ destination, source: station.ip, input: station.link.name });
        askEach({ ...out, ...gateways, direction: 'out', packet }, station.link.index);
      }
      for (const [at, { ip, link, name }] of here.entries()) {
        const tunnel = names.map(linkOf).find(each => each !== undefined);
        const source = subnet.ip.plus(2);
        // Every container once, every peer at least once.
        const isAsked = at === 0 || peer === routed[0]?.peer;
        if (!isAsked || tunnel === undefined) continue;
        // On the link itself: a gateway in front of it can only be the container, by another address.
        const its = here.filter(each => each.name === name).map(each => each.ip);
        const onLink = family === 'ipv4' ? { gateways: its } : {};
        const back = { peer: peer.name, expected: [link.name], ...onLink, subnetLength: 0 };
        const packet = markOf({ destination: ip, source, input: tunnel.name, mark: OVERLAY_MARK });
        askEach({ ...back, direction: 'in', packet }, tunnel.index);
        if (at === 0) continue;
        const forth = markOf({ destination: source, source: ip, input: link.name });
        askEach({ ...out, ...gateways, direction: 'out', packet: forth }, link.index);
      }
    }
  }
  return Promise.all(asked);
}

type MarkOf = (packet: FibPacket & { readonly source: Ip; readonly input: string }) => FibPacket;

/** The mark that rules of netfilter give a packet before it is routed, where policy rules look at marks. */
async function marksOf(host: HostReader): Promise<MarkOf> {
  const rules = await host.policyRules();
  if (!rules.some(({ fwmark }) => fwmark !== undefined)) return packet => packet;
  const chains = (await baseChainsOf(host))
    .filter(({ hook, type }) => hook === 'prerouting' && type !== 'nat')
    .toSorted((a, b) => a.priority - b.priority);
  return packet => {
    const { source, destination, input, mark: own = 0 } = packet;
    const kind = own === 0 ? 'out' : 'in';
    const protocol = source.family === 'ipv4' ? 'icmp' : 'ipv6-icmp';
    const flow = { kind, peer: '', source, destination, input, protocol } as const;
    const mark = chains.reduce((before, chain) => {
      const seen = packetAt(flow, chain);
      return seen === undefined ? before : follow({ ...seen, mark: before }, chain.chains, chain.name).mark;
    }, own);
    return { ...packet, mark };
  };
}

async function ask(host: HostReader, way: Omit<OverlayWay, 'answer'>, iif?: number): Promise<OverlayWay> {
  const { destination, source, mark, protocol } = way.packet;
  const packet = { source, iif, mark, protocol };
  const { route, refusal } = await host.lookup(destination, packet);
  if (refusal !== undefined) return { ...way, answer: { refusal: `${refusal.code}` } };
  const { route: entry } = await host.lookup(destination, { ...packet, entry: true });
  return { ...way, answer: { route, ...(entry && { entry }) } };
}

/** A link with neighbors of all kinds behind it, as against a tunnel of the overlay. */
function isShared({ info, name }: Link): boolean {
  return (
    !name.startsWith('flannel') &&
    (info === undefined || !['vxlan', 'tun', 'ipip', 'wireguard'].includes(info.kind))
  );
}

/** An address of the subnet, and one in each part that entries or rules are about. */
async function samplesIn(host: HostReader, subnet: Prefix): Promise<Ip[]> {
  const [routes, rules] = await Promise.all([host.routes(), host.policyRules()]);
  const inside = [...routes, ...rules].flatMap(({ destination }) =>
    destination !== undefined && destination.length > subnet.length && subnet.contains(destination)
      ? [destination]
      : [],
  );
  const samples = inside.slice(0, MOST_SAMPLES).map(({ ip, size }) => (size > 2n ? ip.plus(1) : ip));
  const all = [subnet.ip.plus(2), ...samples];
  return all.filter((ip, at) => all.findIndex(other => other.equals(ip)) === at);
}
