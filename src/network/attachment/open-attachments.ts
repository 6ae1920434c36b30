/** The attachments of the host that a connection to the kernel is bound to. */
import { Prefix } from '../../base/prefix.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import type { SegmentRegistry } from '../../subnet/segment/segment-registry.ts';
import type { Segments } from '../segment/segments.ts';
import type { HostAttachmentsParts } from './attachment-parts.ts';
import { HostAttachments } from './host-attachments.ts';
import { OverlayNetwork, type OverlayNetworkParts } from './overlay-network.ts';
import { SegmentNetworks } from './segment-networks.ts';

/** To the kernel of this host, so that no work of the agent waits while a link is made, and none of these for another. */
export interface AttachingConnections {
  readonly making: Rtnetlink;
  readonly removing: Rtnetlink;
}

export interface OpenAttachmentsOptions
  extends Omit<HostAttachmentsParts, 'segments' | 'overlay' | 'removing'>,
    OverlayNetworkParts {
  readonly attaching: AttachingConnections;
  readonly segments: Segments;
  readonly segmentRegistry: SegmentRegistry;
}

export function openAttachments(options: OpenAttachmentsOptions): HostAttachments {
  const { segments, segmentRegistry: registry, dataPlane, rtnetlink, attaching } = options;
  const { rounds } = dataPlane;
  const networks = new SegmentNetworks({ segments, registry, rounds, taken: () => takenOn(rtnetlink) });
  const { making, removing } = attaching;
  const overlay = new OverlayNetwork(options);
  return new HostAttachments({ ...options, rtnetlink: making, removing, segments: networks, overlay });
}

/** What a host has an address in, or a route to; its default route leads everywhere. */
async function takenOn({ addresses, routes }: Rtnetlink): Promise<readonly Prefix[]> {
  const [ofLinks, ofRoutes] = await Promise.all([addresses.list(), routes.list()]);
  return [
    ...ofLinks.map(({ ip, length }) => Prefix.of(ip, length)),
    ...ofRoutes.flatMap(({ destination }) =>
      destination === undefined || destination.length === 0 ? [] : [destination],
    ),
  ];
}
