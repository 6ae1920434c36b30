/** What every link must carry. */
import type { Family } from './ip.ts';

/** Bytes of a packet: RFC 791 for IPv4; RFC 8200, section 5, for IPv6, which Linux turns off on links that carry less. */
export const LEAST_MTU = { ipv4: 68, ipv6: 1280 } as const satisfies Record<Family, number>;
