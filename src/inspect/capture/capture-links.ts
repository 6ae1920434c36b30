/** The links that a capture is of: found by name, and what their frames begin with. */

import { CommandError } from '../../console/errors.ts';
import type { Link } from '../../netlink/route/objects.ts';
import type { LinkType } from '../decode/decode-frame.ts';

export interface CaptureLink {
  readonly index: number;
  readonly name: string;
  readonly linkType: LinkType;
}

/** ARPHRD_*, include/uapi/linux/if_arp.h: Ethernet, loopback; none (TUN), IPIP, IP6IP6, SIT. */
const LINK_TYPES: Readonly<Record<number, LinkType>> = {
  1: 'ethernet',
  772: 'ethernet',
  65_534: 'ip',
  768: 'ip',
  769: 'ip',
  776: 'ip',
};

/**
 * @param names as they were given; undefined for all links whose frames can be decoded.
 * @throws CommandError NOT_FOUND for a name that there is not, with those that there are
 */
export function captureLinks(all: readonly Link[], names: readonly string[] | undefined): CaptureLink[] {
  const linkOf = ({ index, name, type }: Link): CaptureLink[] => {
    const linkType = LINK_TYPES[type];
    return linkType === undefined ? [] : [{ index, name, linkType }];
  };
  if (names === undefined) return all.flatMap(linkOf);
  const known = all.map(({ name }) => name).join(', ');
  return [...new Set(names)].flatMap(name => {
    const link = all.find(one => one.name === name || one.altNames?.includes(name));
    if (link === undefined)
      throw new CommandError('NOT_FOUND', `there is no link ${name}`, `there are ${known}`);
    const found = linkOf(link);
    if (found.length > 0) return found;
    throw new CommandError(
      'USAGE',
      `frames of ${name} are neither Ethernet nor IP (ARPHRD ${link.type})`,
      'give the link that its packets leave over',
    );
  });
}

/** UDP ports of the VXLAN devices that there are. */
export const vxlanPortsIn = (all: readonly Link[]): number[] =>
  all.flatMap(({ info }) => (info?.kind === 'vxlan' && info.port !== undefined ? [info.port] : []));
