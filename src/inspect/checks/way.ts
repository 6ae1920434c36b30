/**
 * What the kernel answered when it was asked for the way of one overlay packet, judged: which entry takes it elsewhere, ends
 * it, or is missing. Pure.
 */
import type { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { OVERLAY_MARK } from '../../firewall/packets/overlay-packets.ts';
import {
  FR_ACT_TO_TBL,
  RT_TABLE_MAIN,
  RTN_LOCAL,
  RTN_THROW,
  RTPROT_KERNEL,
} from '../../netlink/route/constants.ts';
import type { Address, Route, Rule } from '../../netlink/route/objects.ts';
import { routeLine, ruleLine } from '../../netlink/text/entries.ts';
import type { NameOf } from '../../netlink/text/link.ts';
import { routeTypeWord } from '../../netlink/text/words.ts';
import { type Command, HERE, ipCommand, removing, sysctlName } from './check.ts';
import { decide, type FibPacket, isEnd, protocolWord } from './fib.ts';

/** `out`: of a container here; `in`: of a container there; `own`: of this host itself. */
export type Direction = 'out' | 'in' | 'own';

/** A question, and what the kernel answered. */
export interface OverlayWay {
  readonly direction: Direction;
  /** Name of the host at the other end. */
  readonly peer: string;
  readonly packet: FibPacket;
  /** Of the subnet that it is for: a route with a shorter prefix is not meant for it. */
  readonly subnetLength: number;
  /** Names of the links that it should leave by. */
  readonly expected: readonly string[];
  /** Where a route by a gateway should lead; absent where any is right. */
  readonly gateways?: readonly Ip[];
  /** Links that carry packets of others, too: without a gateway they lead to no host. */
  readonly shared?: readonly string[];
  /** The kernel's own answer, or the code of its refusal. */
  readonly answer: { readonly route: Route; readonly entry?: Route } | { readonly refusal: string };
}

export interface WayFacts {
  readonly rules: readonly Rule[];
  readonly routes: readonly Route[];
  readonly nameOf: NameOf;
  /** Of this host. */
  readonly addresses: readonly Address[];
  /** Of a link; 0 does not forward. */
  readonly forwards: (link: string) => boolean;
  /** As it is in force on a link: 0, 1 strict, 2 loose. */
  readonly rpFilter: (link: string) => number;
}

export type WayCode =
  | 'POLICY_RULE'
  | 'ROUTE_BLACKHOLE'
  | 'ROUTE_CAPTURES'
  | 'ROUTE_MISSING'
  | 'ROUTE_REFUSED'
  | 'DUPLICATE_ADDRESS'
  | 'LINK_FORWARDING_OFF'
  | 'STRICT_RP_FILTER';

/** What is wrong with one way; those with the same code and entry are one finding. */
export interface WayFault {
  readonly code: WayCode;
  /** The entry in the words of `ip`, or the link. */
  readonly entry: string;
  /** What it does, with a name for the packets. */
  readonly reason: (packets: string) => string;
  readonly remedy: string;
  readonly fix?: readonly Command[];
}

/** undefined for a way as it should be. */
export function faultOf(way: OverlayWay, facts: WayFacts): WayFault | undefined {
  return 'refusal' in way.answer
    ? faultOfRefusal(way, way.answer.refusal, facts)
    : faultOfRoute(way, way.answer, facts);
}

function faultOfRoute(
  way: OverlayWay,
  { route, entry = route }: { readonly route: Route; readonly entry?: Route },
  facts: WayFacts,
): WayFault | undefined {
  const { packet, expected } = way;
  const line = routeLine(entry, facts.nameOf);
  if (route.type === RTN_LOCAL) {
    return {
      code: 'DUPLICATE_ADDRESS',
      entry: line,
      reason: packets => `${HERE} itself has the address ${packet.destination}, so that it keeps ${packets}`,
      remedy: removing(
        // The kernel makes the entry of an address, and takes it away with that.
        entry.protocol === RTPROT_KERNEL
          ? `${ipCommand(entry.family)} address delete ${packet.destination} dev ${entry.oif === undefined ? 'LINK' : facts.nameOf(entry.oif)}`
          : `${ipCommand(entry.family)} route delete ${line}`,
      ),
    };
  }
  const link = route.oif === undefined ? undefined : facts.nameOf(route.oif);
  if (isRight(way, link, route)) return undefined;
  const where = `to ${link ?? 'nowhere'}${route.gateway === undefined ? '' : ` via ${route.gateway}`}, not to ${expected.join(' or ')}`;
  const { rule } = decide(packet, facts.rules, facts.routes) ?? {};
  if (rule !== undefined && isForeign(rule)) return faultOfRule(rule, where, line);
  if (!asksMain(packet, facts)) return withoutMain(packet, where);
  const isShort = entry.destination === undefined || entry.destination.length < way.subnetLength;
  return isShort
    ? {
        code: 'ROUTE_MISSING',
        entry: line,
        reason: packets => `there is no route for ${packets}: \`${line}\` takes them ${where}`,
        remedy: 'start the agent, which makes the routes to peers',
      }
    : {
        code: 'ROUTE_CAPTURES',
        entry: line,
        reason: packets => `a route of another program takes ${packets} ${where}`,
        remedy: deleteRoute(entry, line),
      };
}

function asksMain({ destination }: FibPacket, { rules }: WayFacts): boolean {
  const own = rules.filter(({ family }) => family === destination.family);
  return (
    own.length === 0 || own.some(({ table, action }) => table === RT_TABLE_MAIN && action === FR_ACT_TO_TBL)
  );
}

const withoutMain = ({ destination: { family } }: FibPacket, where?: string): WayFault => ({
  code: 'POLICY_RULE',
  entry: 'no rule looks into the table main',
  reason: packets =>
    `no policy rule looks into the table main, which has the routes: the kernel ${where === undefined ? 'discards' : 'sends'} ${packets}${where === undefined ? '' : ` ${where}`}`,
  remedy: `${ipCommand(family)} rule add lookup main pref 32766`,
  fix: [['ip', family === 'ipv6' ? '-6' : '-4', 'rule', 'add', 'lookup', 'main', 'pref', '32766']],
});

function isRight({ expected, gateways, shared = [] }: OverlayWay, link: string | undefined, route: Route) {
  if (link === undefined || !expected.includes(link)) return false;
  if (gateways === undefined) return true;
  if (route.gateway === undefined) return !shared.includes(link);
  return gateways.some(gateway => gateway.equals(route.gateway));
}

function faultOfRefusal(way: OverlayWay, refusal: string, facts: WayFacts): WayFault | undefined {
  const { packet, direction } = way;
  const { routes } = facts;
  const { input } = packet;
  const ip = ipCommand(packet.destination.family);
  if (input !== undefined && packet.destination.family === 'ipv4' && !facts.forwards(input)) {
    const setting = sysctlName(`net/ipv4/conf/${input}/forwarding`);
    return {
      code: 'LINK_FORWARDING_OFF',
      entry: `${setting} = 0`,
      reason: packets => `${input} does not forward: the kernel discards ${packets}`,
      remedy: `sysctl -w ${setting}=1`,
      fix: [['sysctl', '-w', `${setting}=1`]],
    };
  }
  const decision = decide(packet, facts.rules, facts.routes);
  if (decision === undefined) {
    if (!asksMain(packet, facts)) return withoutMain(packet);
    const thrown = routes.find(
      ({ type, destination: block }) => type === RTN_THROW && block?.contains(packet.destination) === true,
    );
    if (thrown !== undefined) return discardedBy(thrown, facts);
    return {
      code: 'ROUTE_MISSING',
      entry: `${ip} route get ${packet.destination}: ${refusal}`,
      reason: packets => `there is no route for ${packets}: the kernel discards them`,
      remedy:
        direction === 'in'
          ? (connectedRoute(way, facts) ??
            'give the bridge of the containers its address again, which makes the route')
          : 'start the agent, which makes the routes to peers',
    };
  }
  const { rule, route } = decision;
  if (route === undefined) return faultOfRule(rule);
  const line = routeLine(route, facts.nameOf);
  if (isEnd(route.type)) {
    if (isForeign(rule)) return faultOfRule(rule, undefined, line);
    return discardedBy(route, facts);
  }
  const output = route.oif === undefined ? undefined : facts.nameOf(route.oif);
  const back = input === undefined ? undefined : strictFilter(way, input, output, facts);
  if (back !== undefined) return back;
  return {
    code: 'ROUTE_REFUSED',
    entry: `${lookupText(way)}: ${refusal}`,
    reason: packets => `the kernel refuses ${packets} (${refusal})`,
    remedy: `\`${lookupText(way)}\` asks the kernel again; \`${ip} rule\` and \`${ip} route show table all\` show what decides`,
  };
}

/** A route of type throw ends the search in its table, and no other has one. */
function discardedBy(route: Route, { nameOf }: WayFacts): WayFault {
  const line = routeLine(route, nameOf);
  return {
    code: 'ROUTE_BLACKHOLE',
    entry: line,
    reason: packets => `a route of type ${routeTypeWord(route.type)} discards ${packets}`,
    remedy: deleteRoute(route, line),
  };
}

/** The command that makes the route again that the kernel made with the address of the link. */
function connectedRoute({ packet: { destination }, expected }: OverlayWay, facts: WayFacts) {
  const own = facts.addresses.find(
    ({ ip, length, index }) =>
      expected.includes(facts.nameOf(index)) && Prefix.of(ip, length).contains(destination),
  );
  if (own === undefined || own.family === 'ipv6') return undefined;
  return `ip route add ${Prefix.of(own.ip, own.length)} dev ${facts.nameOf(own.index)} proto kernel scope link src ${own.ip}`;
}

/** rp_filter drops what comes in by another link than answers leave by (Documentation/networking/ip-sysctl.rst). */
function strictFilter(
  { packet }: OverlayWay,
  input: string,
  output: string | undefined,
  facts: WayFacts,
): WayFault | undefined {
  const { source, destination } = packet;
  if (facts.rpFilter(input) !== 1 || source === undefined) return undefined;
  // Looked for as if the answer came in by the link that this one leaves by (__fib_validate_source).
  const answer = { destination: source, source: destination, ...(output !== undefined && { input: output }) };
  const back = decide(answer, facts.rules, facts.routes)?.route;
  const link = back?.oif === undefined ? undefined : facts.nameOf(back.oif);
  if (link === input) return undefined;
  const setting = sysctlName(`net/ipv4/conf/${input}/rp_filter`);
  return {
    code: 'STRICT_RP_FILTER',
    entry: `${setting} is strict, and the way back is ${back === undefined ? 'unknown' : `\`${routeLine(back, facts.nameOf)}\``}`,
    reason: packets =>
      `the strict source filter of ${input} discards ${packets}: answers to them leave by ${link ?? 'no link'}`,
    remedy: `sysctl -w ${setting}=2`,
    fix: [['sysctl', '-w', `${setting}=2`]],
  };
}

/** @param where it takes packets by the route in `line`; undefined where it discards them */
function faultOfRule(rule: Rule, where?: string, line?: string): WayFault {
  const ip = ipCommand(rule.family);
  return {
    code: 'POLICY_RULE',
    entry: [ruleLine(rule), ...(line === undefined ? [] : [line])].join(' -> '),
    reason: packets =>
      where === undefined ? `a policy rule discards ${packets}` : `a policy rule takes ${packets} ${where}`,
    remedy: removing(`${ip} rule delete priority ${rule.priority ?? 0}`),
  };
}

/** Those that every kernel begins with: 0 local, 32766 main, 32767 default. */
function isForeign({ priority = 0, table }: Rule): boolean {
  return !(
    (priority === 0 && table === 255) ||
    (priority === 32766 && table === 254) ||
    (priority === 32767 && table === 253)
  );
}

function deleteRoute({ family }: Route, line: string): string {
  return removing(`${ipCommand(family)} route delete ${line}`);
}

/** `ip route get 10.3.2.2 from 10.3.1.2 iif docker0`. */
export function lookupText({
  packet: { destination, source, input, mark = 0, protocol },
}: Pick<OverlayWay, 'packet'>): string {
  const ip = ipCommand(destination.family);
  const from = source === undefined ? '' : ` from ${source}`;
  const marked = mark === 0 || mark === OVERLAY_MARK ? '' : ` mark 0x${mark.toString(16)}`;
  const carried = protocol === undefined ? '' : ` ipproto ${protocolWord(protocol)}`;
  return `${ip} route get ${destination}${from}${input === undefined ? '' : ` iif ${input}`}${marked}${carried}`;
}
