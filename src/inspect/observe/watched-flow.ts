/**
 * How a packet of a flow is known again, wherever it is and whatever was done to it. The number that its sender chose for
 * it (identifier of the echo, source port) and one of its two addresses must be there: a translation of addresses changes
 * the other. Without such a number both addresses must be there.
 */
import type { Flow } from '../../api/inspection.ts';
import { defined } from '../../base/defined.ts';
import { ParseError } from '../../base/errors.ts';
import { type Family, Ip } from '../../base/ip.ts';

export interface WatchedFlow {
  readonly from: Ip;
  readonly to: Ip;
  readonly protocol: Flow['protocol'];
  /** Identifier of the echo, or the port that the requests come from. */
  readonly chosen?: number;
  /** The port that they go to. */
  readonly toPort?: number;
}

/** @throws ParseError for a flow that no packet can belong to */
export function watchedFlow({ from, to, protocol, id, fromPort, toPort }: Flow): WatchedFlow {
  const flow = { from: Ip.parse(from), to: Ip.parse(to), protocol };
  if (flow.from.family !== flow.to.family)
    throw new ParseError('a flow', `${from} to ${to}`, 'the addresses are of two families');
  if (protocol === 'icmp') {
    if ((fromPort ?? toPort) !== undefined) throw new ParseError('a flow', 'icmp', 'ICMP has no ports');
    return { ...flow, ...defined({ chosen: id }) };
  }
  if (id !== undefined) throw new ParseError('a flow', protocol, 'only ICMP has an id');
  return { ...flow, ...defined({ chosen: fromPort, toPort }) };
}

/** Numbers of IP protocols (include/uapi/linux/in.h and in6.h), and of the types of an echo. */
export const ICMP_OF = {
  ipv4: { protocol: 1, request: 8, reply: 0 },
  ipv6: { protocol: 58, request: 128, reply: 129 },
} as const satisfies Record<Family, object>;
export const TCP_PROTOCOL = 6;
export const UDP_PROTOCOL = 17;
/** ICMP of IPv4: types of errors, which quote a packet. Those of IPv6 are all below 128. */
export const ERROR_TYPES_OF_ICMP: readonly number[] = [3, 4, 5, 11, 12];
export const FIRST_INFORMATION_OF_ICMPV6 = 128;
