/** How the host routes a packet: whether it forwards at all, which rule and route decide, and where that leads. */
import type { WalkFault } from '../../api/walk.ts';
import { Prefix } from '../../base/prefix.ts';
import { NETCONFA_IFINDEX_ALL, RTN_LOCAL, RTN_UNICAST } from '../../netlink/route/constants.ts';
import type { Link, Netconf, Route } from '../../netlink/route/objects.ts';
import { routeLine, ruleLine } from '../../netlink/text/entries.ts';
import { sysctlName } from '../checks/check.ts';
import { deliver } from './bridge.ts';
import { sourceAfter, translateDestination, translateSource } from './translation.ts';
import { overTunnel } from './tunnel.ts';
import { overUnderlay } from './underlay.ts';
import { firstFault, type PacketWay } from './way.ts';

/** include/uapi/linux/rtnetlink.h. */
const TABLES_OF_EVERY_HOST = [0, 253, 254, 255];
const STRICT = 1;

/** What each family calls the count of hosts that may still forward a packet. */
const HOP_LIMIT = { ipv4: 'TTL', ipv6: 'hop limit' } as const;

/** @param input the link that the packet came in by; undefined for one that the host itself sends */
export async function routePacket(way: PacketWay, input: Link | undefined): Promise<void> {
  const aim = await way.host.lookup(way.to, {
    ...way.packet,
    ...(input !== undefined && { iif: input.index }),
  });
  await translateDestination(way, input, aim.route?.type === RTN_LOCAL);
  const packet = { ...way.packet, ...(input !== undefined && { iif: input.index }) };
  const [{ route, refusal }, found, rules, netconf] = await Promise.all([
    way.host.lookup(way.to, { ...packet, entry: true }),
    way.host.lookup(way.to, packet),
    way.host.policyRules(),
    way.host.netconf(),
  ]);
  const isForwarded = input !== undefined && route?.type !== RTN_LOCAL;
  const rule = rules.find(
    ({ table, family }) =>
      table === route?.table && family === way.to.family && !TABLES_OF_EVERY_HOST.includes(table),
  );
  const settings = input === undefined ? [] : settingsOf(way, input, netconf, isForwarded);
  const output = way.link(route?.oif);
  const source = await sourceAfter(way, { input, output });
  const goes = way.add({
    place: way.name,
    layer: 'routing',
    story: storyOf(way, { route, isForwarded }),
    entries: [
      ...settings.map(({ line }) => line),
      ...(rule === undefined ? [] : [ruleLine(rule)]),
      ...(route === undefined ? [] : [routeLine(route, way.nameOf)]),
    ],
    // What has another source there is seen when it has it.
    ...(output !== undefined &&
      source === undefined &&
      route?.type === RTN_UNICAST && { passes: { link: output.name, direction: 'out' as const } }),
    ...firstFault(
      settings.find(({ fault }) => fault !== undefined)?.fault,
      await reverseFault(way, input, netconf),
      refusal && (await refused(way, refusal.message)),
      route && (await captured(way, route)),
    ),
  });
  if (!goes || route === undefined) return;
  if (source !== undefined) translateSource(way, source);
  if (route.type === RTN_LOCAL) {
    way.arrives = {};
    return;
  }
  if (output === undefined) return;
  const next = route.gateway ?? found.route?.gateway;
  const kind = output.info?.kind;
  if (kind === 'vxlan' || kind === 'tun' || kind === 'ipip')
    return overTunnel(way, output, { ...(next !== undefined && { gateway: next }) });
  const isInside = kind === 'bridge' || (await way.holder(way.to))?.outer.index === output.index;
  if (isInside && next === undefined) return deliver(way, output);
  return overUnderlay(way, { kind: 'plain', to: String(next ?? way.to) }, { output, next: next ?? way.to });
}

function storyOf(
  way: PacketWay,
  { route, isForwarded }: { route: Route | undefined; isForwarded: boolean },
): string {
  if (route?.type === RTN_LOCAL) return `${way.to} is an address of the host itself: the packet ends here.`;
  const forwards = isForwarded
    ? ` It forwards for others, and takes one from the ${HOP_LIMIT[way.to.family]}.`
    : '';
  return `The host looks for the route to ${way.to}.${forwards}`;
}

interface Setting {
  readonly line: string;
  readonly fault?: WalkFault;
}

function settingsOf(
  way: PacketWay,
  input: Link,
  netconf: readonly Netconf[],
  isForwarded: boolean,
): Setting[] {
  const { family } = way.to;
  const valueOf = (index: number) =>
    netconf.find(one => one.family === family && one.index === index)?.forwarding;
  const all = valueOf(NETCONFA_IFINDEX_ALL);
  // Over IPv6 the setting of all links decides.
  const value = family === 'ipv4' ? valueOf(input.index) : all;
  if (!isForwarded || value === undefined) return [];
  const whole = family === 'ipv4' ? 'net.ipv4.ip_forward' : 'net.ipv6.conf.all.forwarding';
  const name = family === 'ipv4' ? sysctlName(`net/ipv4/conf/${input.name}/forwarding`) : whole;
  const line = `${name} = ${value}`;
  if (value !== 0) return [{ line }];
  const reason =
    all === 0
      ? `${way.name} forwards nothing.`
      : `${way.name} forwards nothing that comes in by ${input.name}.`;
  return [{ line, fault: { reason, remedy: `sysctl -w ${all === 0 ? whole : name}=1` } }];
}

/** Strict reverse path filtering drops what comes in by another link than the route back to its source leaves by. */
async function reverseFault(
  way: PacketWay,
  input: Link | undefined,
  netconf: readonly Netconf[],
): Promise<WalkFault | undefined> {
  if (input === undefined || way.from.family !== 'ipv4') return undefined;
  const filterOf = (index: number) =>
    netconf.find(one => one.family === 'ipv4' && one.index === index)?.rpFilter ?? 0;
  if (Math.max(filterOf(input.index), filterOf(NETCONFA_IFINDEX_ALL)) !== STRICT) return undefined;
  const { route } = await way.host.lookup(way.from);
  if (route?.oif === input.index || (route?.oif === undefined && route !== undefined)) return undefined;
  const back =
    route?.oif === undefined ? 'there is no route back' : `the route back leaves by ${way.nameOf(route.oif)}`;
  return {
    reason: `Strict reverse path filtering drops it: it comes in by ${input.name}, and ${back}.`,
    remedy: `sysctl -w ${sysctlName(`net/ipv4/conf/${input.name}/rp_filter`)}=2 net.ipv4.conf.all.rp_filter=2`,
  };
}

async function refused(way: PacketWay, why: string): Promise<WalkFault> {
  const routes = await way.host.routes();
  const [longest] = routes
    .filter(
      ({ type, destination, family }) =>
        isRefusal(type) && family === way.to.family && destination?.contains(way.to),
    )
    .toSorted((a, b) => (b.destination?.length ?? 0) - (a.destination?.length ?? 0));
  if (longest !== undefined) {
    const line = routeLine(longest, way.nameOf);
    return { reason: `A route of ${way.name} ends it: ${line}.`, remedy: `ip route del ${line}` };
  }
  const isOfPeer = (await way.host.peerSubnets()).some(subnet => subnet.contains(way.to));
  return {
    reason: `${way.name} has no route to ${way.to} (${why}).`,
    remedy: isOfPeer ? `tulle status --peer ${way.to}` : `ip route add ${way.to} via GATEWAY`,
  };
}

/** RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT. */
const isRefusal = (type: number): boolean => type >= 6 && type <= 8;

/** A route to a container of a peer that leads elsewhere than the agent has made. */
async function captured(way: PacketWay, route: Route): Promise<WalkFault | undefined> {
  const status = await way.host.status();
  const peer = status?.peers.find(({ subnet }) =>
    Object.values(subnet).some(text => Prefix.tryParse(text)?.contains(way.to)),
  );
  if (peer === undefined || route.oif === undefined) return undefined;
  const name = way.nameOf(route.oif);
  if (peer.links === undefined || peer.links.length === 0 || peer.links.includes(name)) return undefined;
  const line = routeLine(route, way.nameOf);
  const isForeign = route.destination !== undefined;
  return {
    reason: `${isForeign ? 'Another route takes' : 'The default route takes'} what is for ${peer.hostName ?? peer.key} to ${name}: the way there is ${peer.links.join(' or ')}.`,
    remedy: isForeign ? `ip route del ${line}` : `tulle status --peer ${way.to}`,
  };
}
