/** How one L2 network is guarded, from what is on it: here and elsewhere. */
import type { SegmentGuard } from '../../../firewall/bridge/guard-table.ts';
import type { SegmentSnapshot } from '../../../subnet/segment/segment.ts';
import type { Duplicate, SegmentEndpoints } from './segment-endpoints.ts';

/** Frames to what is published, or is on this host's bridge, are not flooded. */
export function guardOf(
  local: SegmentEndpoints,
  { endpoints }: Pick<SegmentSnapshot, 'endpoints'>,
  duplicates: readonly Duplicate[],
): SegmentGuard {
  const { segment, tunnel, gatewayMac } = local.site;
  const stations = [...endpoints.values(), ...local.stations];
  return {
    name: segment.name,
    tunnelLink: tunnel,
    gateway: { mac: gatewayMac, addresses: segment.gateways },
    floodLimit: segment.floodLimit,
    known: [...new Map(stations.map(({ mac }) => [mac.key, mac])).values()],
    refused: local.refused(duplicates),
  };
}
