/** Tunnels whose peers may answer another way. */
import type { DesiredAddress, DesiredSysctl } from '../dataplane/desired.ts';

/**
 * A peer may use another way than this host: what comes over the tunnel is taken from whoever sends it (rp_filter 2; the
 * setting of the underlay's link is the administrator's). IPv6 has no such filter.
 */
export const looseFilter = ({ link, address }: DesiredAddress): DesiredSysctl[] =>
  address.ip.family === 'ipv4' ? [{ link, path: `net/ipv4/conf/${link}/rp_filter`, value: '2' }] : [];
