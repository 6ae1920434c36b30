/**
 * Types and protocols of routes as iproute2 prints them: linux/rtnetlink.h for the numbers, its `rt_protos` for
 * what daemons are called.
 */

const TYPES: Readonly<Record<number, string>> = {
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

const PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'redirect',
  2: 'kernel',
  3: 'boot',
  4: 'static',
  9: 'ra',
  11: 'zebra',
  12: 'bird',
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

/** `blackhole` for RTN_BLACKHOLE; a number that has no name stays one. */
export const routeTypeWord = (type: number): string => TYPES[type] ?? `type ${type}`;

/** `kernel` for RTPROT_KERNEL; a number that has no name stays one. */
export const routeProtocolWord = (protocol: number): string => PROTOCOLS[protocol] ?? String(protocol);
