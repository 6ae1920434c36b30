/**
 * The way of a packet through policy rules and tables, entry by entry. What the kernel answers to a lookup says where a
 * packet goes, and of one that goes nowhere only why; this names the rule or route that decides.
 */
import type { Family, Ip } from '../../base/ip.ts';
import {
  FR_ACT_GOTO,
  FR_ACT_TO_TBL,
  RTN_BLACKHOLE,
  RTN_PROHIBIT,
  RTN_THROW,
  RTN_UNREACHABLE,
} from '../../netlink/route/constants.ts';
import type { Route, Rule } from '../../netlink/route/objects.ts';

/** What rules look at. */
export interface FibPacket {
  readonly destination: Ip;
  readonly source?: Ip;
  /** Name of the link it comes in by; absent for one of this host itself. */
  readonly input?: string;
  readonly mark?: number;
  /** IPPROTO_*. */
  readonly protocol?: number;
  readonly toPort?: number;
}

/** The rule, and the route of its table; without a route the rule itself ends the packet. */
export interface FibDecision {
  readonly rule: Rule;
  readonly route?: Route;
}

/** undefined where no entry is for the packet. */
export function decide(
  packet: FibPacket,
  rules: readonly Rule[],
  routes: readonly Route[],
): FibDecision | undefined {
  const { family } = packet.destination;
  let from = 0;
  for (const rule of inOrder(rules, family)) {
    if ((rule.priority ?? 0) < from || !isFor(rule, packet)) continue;
    if (rule.action === FR_ACT_GOTO) from = rule.goto ?? 0;
    if (isEnd(rule.action)) return { rule };
    if (rule.action !== FR_ACT_TO_TBL) continue;
    const route = longest(packet.destination, rule, routes);
    if (route !== undefined && route.type !== RTN_THROW) return { rule, route };
  }
  return undefined;
}

/** FR_ACT_BLACKHOLE, FR_ACT_UNREACHABLE and FR_ACT_PROHIBIT have the numbers of the types of routes. */
export const isEnd = (type: number): boolean =>
  type === RTN_BLACKHOLE || type === RTN_UNREACHABLE || type === RTN_PROHIBIT;

const inOrder = (rules: readonly Rule[], family: Family): Rule[] =>
  rules.filter(rule => rule.family === family).toSorted((a, b) => (a.priority ?? 0) - (b.priority ?? 0));

function isFor(rule: Rule, packet: FibPacket): boolean {
  return conditionsHold(rule, packet) !== (rule.inverted ?? false);
}

/** A condition that is not read here (an owner, a tunnel id) does not hold. */
function conditionsHold(rule: Rule, packet: FibPacket): boolean {
  const { source, destination, iifName, oifName, fwmark, ipProtocol, destinationPorts: ports } = rule;
  const { mark = 0, toPort } = packet;
  return (
    (destination === undefined || destination.contains(packet.destination)) &&
    (source === undefined || (packet.source !== undefined && source.contains(packet.source))) &&
    // What this host sends comes in by the loopback (net/ipv4/route.c).
    (iifName === undefined || iifName === (packet.input ?? 'lo')) &&
    oifName === undefined &&
    // What is asked about has none.
    rule.tos === undefined &&
    (fwmark === undefined || ((mark ^ fwmark) & (rule.fwmask ?? 0xffff_ffff)) === 0) &&
    (ipProtocol === undefined || ipProtocol === packet.protocol) &&
    (ports === undefined || (toPort !== undefined && ports.low <= toPort && toPort <= ports.high)) &&
    !hasOtherConditions(rule)
  );
}

/** FRA_TUN_ID, FRA_L3MDEV, FRA_UID_RANGE, FRA_SPORT_RANGE: include/uapi/linux/fib_rules.h. */
const OTHER_CONDITIONS = [12, 19, 20, 23];

const hasOtherConditions = ({ unknown }: Rule): boolean =>
  unknown.some(({ type }) => OTHER_CONDITIONS.includes(type));

/** RTNH_F_DEAD: its link is down. */
const DEAD = 1;

function longest(destination: Ip, { table, suppressPrefixLength = -1 }: Rule, routes: readonly Route[]) {
  const lengthOf = (route: Route) => route.destination?.length ?? 0;
  return routes
    .filter(
      route =>
        route.family === destination.family &&
        route.table === table &&
        (route.flags & DEAD) === 0 &&
        route.tos === undefined &&
        (route.destination === undefined || route.destination.contains(destination)) &&
        lengthOf(route) > suppressPrefixLength,
    )
    .toSorted((a, b) => lengthOf(b) - lengthOf(a) || (a.priority ?? 0) - (b.priority ?? 0))[0];
}

/** Those that the kernel takes in a question for a route (net/ipv4/route.c, rtm_getroute_parse_ip_proto). */
const ASKABLE: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'ipv6-icmp' };

/** As `ip` calls it. @param protocol IPPROTO_* */
export const protocolWord = (protocol: number): string => ASKABLE[protocol] ?? `${protocol}`;

/** What to ask about: packets of any protocol, and of each that a rule is about. */
export function protocolsIn(rules: readonly Rule[]): readonly Pick<FibPacket, 'protocol'>[] {
  const named = new Set(rules.flatMap(({ ipProtocol }) => ipProtocol ?? []));
  return [{}, ...[...named].filter(each => each in ASKABLE).map(protocol => ({ protocol }))];
}
