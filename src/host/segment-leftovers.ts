/** What the L2 networks of this host leave behind: a bridge and a VXLAN link each, what is connected to it, and the rules that guard them. */

import { isCode } from '../base/errors.ts';
import type { BridgeGuard } from '../firewall/bridge/bridge-guard.ts';
import type { Link } from '../netlink/route/objects.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import { unlessGone } from '../netlink/unless-gone.ts';
import { portsOf } from '../network/segment/endpoints/endpoint-ports.ts';
import { segmentLinks } from '../network/segment/segment-names.ts';
import type { Segment } from '../subnet/segment/segment.ts';
import { gatewayMac } from '../subnet/segment/segment-mac.ts';
import type { Leftover } from './cleanup.ts';

export interface SegmentLeftoverOptions {
  readonly rtnetlink: Pick<Rtnetlink, 'links'>;
  readonly guard: Pick<BridgeGuard, 'apply' | 'drops'>;
  /** Those that the agent knew last. */
  readonly segments: readonly Segment[];
}

/** The ports go before their bridge. @throws NetlinkError, FirewallError */
export async function segmentLeftovers({
  rtnetlink: { links },
  guard,
  segments,
}: SegmentLeftoverOptions): Promise<readonly Leftover[]> {
  const leftovers: Leftover[] = [];
  for (const segment of segments) {
    for (const { link, container } of portsOf(await links.list(), segment)) {
      const what = `device ${link.name} of ${container}`;
      leftovers.push({ what, remove: () => unlessGone(links.delete(link.index)) });
    }
    const { bridge, tunnel } = segmentLinks(segment);
    const [tunnelLink, bridgeLink] = [await links.get(tunnel), await links.get(bridge)];
    const ours = [isTunnelOf(segment, tunnelLink), isBridgeOf(segment, bridgeLink)];
    for (const [at, link] of [tunnelLink, bridgeLink].entries()) {
      if (link === undefined || ours[at] !== true) continue;
      leftovers.push({ what: `device ${link.name}`, remove: () => unlessGone(links.delete(link.index)) });
    }
  }
  if (await isGuarding(guard)) {
    leftovers.push({ what: 'firewall rules of L2 networks', remove: () => guard.apply([]) });
  }
  return leftovers;
}

function isTunnelOf({ vni, port }: Segment, link: Link | undefined): boolean {
  return link?.info?.kind === 'vxlan' && link.info.id === vni && link.info.port === port;
}

const isBridgeOf = (segment: Segment, link: Link | undefined) =>
  link?.info?.kind === 'bridge' && gatewayMac(segment).equals(link.mac);

/** A host without nft has no such rules. */
async function isGuarding(guard: Pick<BridgeGuard, 'drops'>): Promise<boolean> {
  try {
    return (await guard.drops()).size > 0;
  } catch (error) {
    if (isCode(error, 'NO_PROGRAM', 'REFUSED')) return false;
    throw error;
  }
}
