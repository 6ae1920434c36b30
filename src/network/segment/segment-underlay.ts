/**
 * Which link carries the frames of L2 networks. They need one family only, so a host has an underlay for them although it
 * lacks an address of a family that the overlay has, and without any overlay.
 */
import type { Underlay } from '../../backend/backend.ts';
import { FAMILIES } from '../../base/ip.ts';
import type { UnderlayCriteria } from '../options.ts';
import { chooseUnderlay, type HostNetwork, type UnderlayChoice } from '../underlay.ts';

/** IPv4 where there is any. @param inUse what was chosen last */
export function segmentUnderlay(
  host: HostNetwork,
  criteria: UnderlayCriteria,
  inUse: Underlay | undefined,
): UnderlayChoice {
  const [ipv4, ipv6] = FAMILIES.map(family => chooseUnderlay(host, criteria, [family], inUse));
  const [first, second] = [ipv4, ipv6].filter(choice => choice?.found === true);
  if (first?.found !== true)
    return ipv4 ?? { found: false, reason: 'no usable underlay interface', hint: 'name it with --iface' };
  if (second?.found !== true || second.underlay.link.index !== first.underlay.link.index) return first;
  const { underlay } = second;
  return {
    ...first,
    underlay: {
      link: first.underlay.link,
      ip: { ...underlay.ip, ...first.underlay.ip },
      publicIp: { ...underlay.publicIp, ...first.underlay.publicIp },
    },
  };
}
