/** What a segment's links on a host are called, and their MAC addresses: the same after every restart, without a record. */
import { createHash } from 'node:crypto';
import type { Mac } from '../../base/mac.ts';
import { IFNAMSIZ } from '../../netlink/route/constants.ts';
import type { Segment } from '../../subnet/segment/segment.ts';
import { derivedMac, gatewayMac } from '../../subnet/segment/segment-mac.ts';

export interface SegmentLinks {
  /** `tb-blue`: containers are its ports, and the host has the address of the gateway on it. */
  readonly bridge: string;
  /** `tv-blue`: the VXLAN link, a port that leads to the other hosts. */
  readonly tunnel: string;
}

/** What the bridge of every segment is called. */
export const BRIDGE_NAMES = 'tb-*';

/** A name that is too long for a link is represented by 12 hex digits of its hash. */
export function segmentLinks({ name }: Pick<Segment, 'name'>): SegmentLinks {
  const isShort = `tb-${name}`.length < IFNAMSIZ;
  const short = isShort ? name : digest(`network ${name}`).toString('hex').slice(0, 12);
  return { bridge: `tb-${short}`, tunnel: `tv-${short}` };
}

/** Of the VXLAN link of one host. */
export function tunnelMac({ id }: Pick<Segment, 'id'>, hostId: string): Mac {
  return derivedMac(`tunnel of ${id} on ${hostId}`);
}

/** Links by name, the ports first, with the MAC addresses that show whose they are. */
export function segmentLinkMacs(segment: Segment, hostId: string): ReadonlyMap<string, Mac> {
  const { bridge, tunnel } = segmentLinks(segment);
  return new Map([
    [tunnel, tunnelMac(segment, hostId)],
    [bridge, gatewayMac(segment)],
  ]);
}

const digest = (text: string) => createHash('sha256').update(`tulle ${text}`).digest();
