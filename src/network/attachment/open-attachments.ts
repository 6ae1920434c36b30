/** The attachments of the host that a connection to the kernel is bound to. */
import { Prefix } from '../../base/prefix.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import type { SegmentRegistry } from '../../subnet/segment/segment-registry.ts';
import type { Segments } from '../segment/segments.ts';
import type { HostAttachmentsParts } from './attachment-parts.ts';
import { HostAttachments } from './host-attachments.ts';
import { OverlayNetwork, type OverlayNetworkParts } from './overlay-network.ts';
import { SegmentNetworks } from './segment-networks.ts';

export interface OpenAttachmentsOptions
  extends Omit<HostAttachmentsParts, 'segments' | 'overlay'>,
    OverlayNetworkParts {
  readonly segments: Segments;
  readonly segmentRegistry: SegmentRegistry;
}

export function openAttachments(options: OpenAttachmentsOptions): HostAttachments {
  const { segments, segmentRegistry: registry, dataPlane, rtnetlink } = options;
  const { rounds } = dataPlane;
  const networks = new SegmentNetworks({ segments, registry, rounds, taken: () => takenOn(rtnetlink) });
  return new HostAttachments({ ...options, segments: networks, overlay: new OverlayNetwork(options) });
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
