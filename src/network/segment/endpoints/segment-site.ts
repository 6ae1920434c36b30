/** An L2 network as it is on this host. */
import type { Mac } from '../../../base/mac.ts';
import type { Segment } from '../../../subnet/segment/segment.ts';

export interface SegmentSite {
  readonly segment: Segment;
  /** Names of the bridge and of its port that leads to the other hosts. */
  readonly bridge: string;
  readonly tunnel: string;
  /** Of the bridge: the same on every host. */
  readonly gatewayMac: Mac;
  /** Of the bridge and of everything on it. */
  readonly mtu: number;
}

/** All that is in it: its values print themselves. */
export const siteText = (site: SegmentSite): string =>
  JSON.stringify(site, (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
