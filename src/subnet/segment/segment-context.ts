/** What a new L2 network must keep clear of, as far as the store knows: the overlay, the hosts, the other networks. */
import { enumerate } from '../../base/enumerate.ts';
import { Fields } from '../../base/fields.ts';
import type { Ip } from '../../base/ip.ts';
import { valuesOf } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import { type NetworkConfig, networksOf } from '../config/config.ts';
import { UNUSABLE } from '../config/family-config.ts';
import { addressesOf, type Lease } from '../lease/lease.ts';
import type { Segment } from './segment.ts';
import { isVni, MOST_VNI } from './segment-key.ts';

export interface SegmentContext {
  /** Of the overlay. */
  readonly networks: readonly Prefix[];
  /** Of the overlay; flannel's 1 where none is stated. */
  readonly overlayVni: number;
  readonly hostAddresses: readonly Ip[];
  readonly segments: readonly Segment[];
  /** What is below `vnis/`: VNI to the name of its network. */
  readonly vnis: ReadonlyMap<number, string>;
}

/** flannel's default, which the overlay has when its configuration states none. */
const OVERLAY_VNI = 1;

/**
 * From where a free VNI is drawn: overlays have small ones, Docker's own overlay networks count up from 4096, and what
 * people make by hand begins with 1.
 */
const DRAWN = { first: 0xe00000, count: 0x100000 };

/** What no container can have beside what an overlay cannot have (family-config.ts). */
const UNUSABLE_TOO = {
  ipv4: { '0.0.0.0/8': 'this host', '240.0.0.0/4': 'reserved' },
  ipv6: { '::/128': 'no address', '::ffff:0:0/96': 'IPv4 in IPv6' },
} as const;

/** @param config the last valid one, if there is any */
export function contextOf(
  config: NetworkConfig | undefined,
  leases: readonly Lease[],
  segments: readonly Segment[],
  vnis: ReadonlyMap<number, string>,
): SegmentContext {
  return {
    networks: config === undefined ? [] : networksOf(config),
    overlayVni: overlayVniOf(config),
    hostAddresses: leases.flatMap(({ attributes }) => addressesOf(attributes)),
    segments,
    vnis,
  };
}

/** The VNI that the devices of the overlay have, if its backend makes any. */
export function overlayVniOf(config: NetworkConfig | undefined): number {
  const fields = new Fields(config?.backend.options ?? {}, '', []);
  return fields.integer('VNI', { min: 1, max: MOST_VNI }) ?? OVERLAY_VNI;
}

/** Why nothing in this subnet could have an address. */
export function unusableProblem(subnet: Prefix): string | undefined {
  if (subnet.length === 0) return 'must not be the whole address space';
  const ranges = { ...UNUSABLE[subnet.family], ...UNUSABLE_TOO[subnet.family] };
  for (const [range, what] of Object.entries(ranges)) {
    if (subnet.overlaps(Prefix.parse(range))) return `must not overlap ${range}, which is ${what}`;
  }
  return undefined;
}

/** What else has addresses of this subnet. */
export function overlapProblem(
  subnet: Prefix,
  { networks, hostAddresses, segments }: SegmentContext,
): string | undefined {
  const network = networks.find(one => one.overlaps(subnet));
  if (network !== undefined) return `overlaps ${network}, the network of the overlay`;
  for (const segment of segments) {
    const other = valuesOf(segment.subnets).find(one => one.overlaps(subnet));
    if (other !== undefined) return `overlaps ${other}, the subnet of the network ${segment.name}`;
  }
  const inside = hostAddresses.filter(ip => subnet.contains(ip));
  return inside.length === 0 ? undefined : `contains addresses of hosts: ${enumerate(inside, { most: 3 })}`;
}

export function isFreeVni(vni: number, { overlayVni, vnis, segments }: SegmentContext): boolean {
  return isVni(vni) && vni !== overlayVni && !vnis.has(vni) && !segments.some(segment => segment.vni === vni);
}

/** @param random at least 0 and less than 1 @returns undefined when none of the range is free */
export function drawSegmentVni(context: SegmentContext, random: () => number): number | undefined {
  const start = Math.floor(random() * DRAWN.count);
  for (let step = 0; step < DRAWN.count; step++) {
    const vni = DRAWN.first + ((start + step) % DRAWN.count);
    if (isFreeVni(vni, context)) return vni;
  }
  return undefined;
}
