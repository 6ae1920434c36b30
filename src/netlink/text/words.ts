/**
 * What iproute2 calls the kernel's numbers: rtnetlink.h, if.h and if_arp.h have the numbers, iproute2's `rt_protos` and
 * `rt_tables` what daemons and tables are called. A number without a name stays a number.
 */

type Names = Readonly<Record<number, string>>;

const ROUTE_TYPES: Names = {
  1: 'unicast',
  2: 'local',
  3: 'broadcast',
  4: 'anycast',
  5: 'multicast',
  6: 'blackhole',
  7: 'unreachable',
  8: 'prohibit',
  9: 'throw',
  10: 'nat',
};

const ROUTE_PROTOCOLS: Names = {
  1: 'redirect',
  2: 'kernel',
  3: 'boot',
  4: 'static',
  8: 'gated',
  9: 'ra',
  10: 'mrt',
  11: 'zebra',
  12: 'bird',
  14: 'xorp',
  15: 'ntk',
  16: 'dhcp',
  18: 'keepalived',
  42: 'babel',
  99: 'openr',
  186: 'bgp',
  187: 'isis',
  188: 'ospf',
  189: 'rip',
  192: 'eigrp',
};

const TABLES: Names = { 253: 'default', 254: 'main', 255: 'local' };
const SCOPES: Names = { 0: 'global', 200: 'site', 253: 'link', 254: 'host', 255: 'nowhere' };

const OPER_STATES: Names = {
  0: 'UNKNOWN',
  1: 'NOTPRESENT',
  2: 'DOWN',
  3: 'LOWERLAYERDOWN',
  4: 'TESTING',
  5: 'DORMANT',
  6: 'UP',
};

const IP_PROTOCOLS: Names = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'ipv6-icmp' };
const LINK_LAYERS: Names = { 1: 'ether', 768: 'ipip', 772: 'loopback', 65534: 'none' };

/** `blackhole` for RTN_BLACKHOLE. */
export const routeTypeWord = (type: number): string => ROUTE_TYPES[type] ?? `type ${type}`;
/** `kernel` for RTPROT_KERNEL. */
export const routeProtocolWord = (protocol: number): string => named(ROUTE_PROTOCOLS, protocol);
/** `main` for RT_TABLE_MAIN. */
export const tableWord = (table: number): string => named(TABLES, table);
/** `link` for RT_SCOPE_LINK. */
export const scopeWord = (scope: number): string => named(SCOPES, scope);
/** `UP` for IF_OPER_UP. */
export const operStateWord = (state: number): string => named(OPER_STATES, state);
/** `udp` for IPPROTO_UDP. */
export const ipProtocolWord = (protocol: number): string => named(IP_PROTOCOLS, protocol);
/** `ether` for ARPHRD_ETHER. */
export const linkLayerWord = (type: number): string => LINK_LAYERS[type] ?? `[${type}]`;

function named(names: Names, number: number): string {
  return names[number] ?? String(number);
}

/** The words of those bits that are set, in the order given. */
export function bitWords(value: number, bits: readonly (readonly [bit: number, word: string])[]): string[] {
  return bits.filter(([bit]) => (value & bit) !== 0).map(([, word]) => word);
}

/** Joined by spaces, without those that do not apply. */
export function joinWords(...parts: readonly (string | false | undefined)[]): string {
  return parts.filter(part => part !== undefined && part !== false && part !== '').join(' ');
}
