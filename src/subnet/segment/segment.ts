/**
 * The nouns of Tulle's L2 networks. A Segment is one Ethernet network over all hosts, in the store below
 * `<prefix>/networks/<name>/` (segment-key.ts has the keys, segment-value.ts the JSON).
 */
import type { Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import type { PerFamily } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import type { Revision, StoreLeaseId } from '../../store/store.ts';

/** What an administrator states, and all hosts share: the value of `config`. */
export interface Segment {
  /** See `isSegmentName`. */
  readonly name: string;
  /** 16 hex digits, drawn when it was made: what is derived from it differs from that of a former network of this name. */
  readonly id: string;
  /** 1 to 16777215, of this network alone. */
  readonly vni: number;
  /** UDP port of the tunnel. */
  readonly port: number;
  /** At least one. */
  readonly subnets: PerFamily<Prefix>;
  /** The address that each host's bridge has; absent for a family, or for all, where there is no gateway. */
  readonly gateways: PerFamily<Ip>;
  /** No way out: no gateway, no masquerade. */
  readonly internal: boolean;
  /** Of bridge and containers, as it was given; absent: what the underlay leaves. */
  readonly mtu?: number;
  /** Prefix length of the range that one host leases at a time; for each family of `subnets`. */
  readonly rangeLengths: PerFamily<number>;
  /** Hosts where a dockerd runs make a Docker network of it. */
  readonly docker: boolean;
  /** Broadcast, multicast and unknown unicast frames per second that one host sends to the others, or takes from them. */
  readonly floodLimit: number;
  readonly created: Date;
  /** Of `config`. With it a write proves that it knows this network, and not a former one of the name. */
  readonly createRevision: Revision;
}

/** A host as its keys below a segment name it. */
export interface SegmentHost {
  readonly hostId: string;
  /** For people, and no proof of anything. */
  readonly hostName?: string;
}

/** A host that gets flooded frames: something is on its bridge. On the host's store lease. */
export interface SegmentMember extends SegmentHost {
  /** Underlay addresses, to which tunnel packets are sent; at least one. */
  readonly addresses: PerFamily<Ip>;
  /** MAC address of its VTEP, where it has one. */
  readonly mac?: Mac;
}

/** One address of one container. On the host's store lease. */
export interface SegmentEndpoint extends SegmentHost {
  readonly ip: Ip;
  readonly mac: Mac;
  /** The name of the container, for people: see `isContainerName`. */
  readonly container: string;
}

/** A block of which one host gives out the addresses. Without expiry: it is the host's until it is given back. */
export interface SegmentRange extends SegmentHost {
  readonly block: Prefix;
  /** See subnet/allocate/identity.ts: what only this machine has. */
  readonly machine?: string;
}

/** What is in the store with it. */
export type Stored<T> = T & {
  /** 0n for what has no expiry. */
  readonly storeLease: StoreLeaseId;
  /** Of two that conflict the older one is right. */
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  /** The store has lost it together with its history; it is kept for a time. */
  readonly forgotten?: true;
};

/** One segment at one moment. An object never changes; one that is the same says the same. */
export interface SegmentSnapshot {
  readonly segment: Segment;
  /** By host id. */
  readonly members: ReadonlyMap<string, Stored<SegmentMember>>;
  /** By `Ip.key`. */
  readonly endpoints: ReadonlyMap<number | bigint, Stored<SegmentEndpoint>>;
  /** Those that are right alone and wrong beside the others: nobody uses them. */
  readonly refused: readonly Stored<SegmentEndpoint>[];
  /** By `Prefix.key`. None overlaps another. */
  readonly ranges: ReadonlyMap<number | bigint, Stored<SegmentRange>>;
}

/** All of them. */
export interface SegmentsSnapshot {
  readonly revision: Revision;
  /** By name, in order. */
  readonly segments: ReadonlyMap<string, SegmentSnapshot>;
  readonly rejected: readonly RejectedSegmentKey[];
}

/** A key below `<prefix>/networks/` that is not used, and why. */
export interface RejectedSegmentKey {
  /** Below `<prefix>/networks/`: `blue/endpoints/10.9.1.2`. */
  readonly key: string;
  readonly reason: string;
}

/** Who gives out this address, if any host does. */
export function rangeHolding(
  { ranges }: Pick<SegmentSnapshot, 'ranges'>,
  ip: Ip,
): Stored<SegmentRange> | undefined {
  for (const range of ranges.values()) if (range.block.contains(ip)) return range;
  return undefined;
}

/** The ranges of one host. */
export function rangesOfHost(
  { ranges }: Pick<SegmentSnapshot, 'ranges'>,
  hostId: string,
): readonly Stored<SegmentRange>[] {
  return [...ranges.values()].filter(range => range.hostId === hostId);
}

/**
 * The upper half of a range, out of which Docker gives addresses where a network is a Docker network too. What
 * `tulle network connect` gives is in the lower half, so that neither has to ask the other.
 */
export function dockerPart(range: Prefix): Prefix {
  return Prefix.of(range.last, range.length + 1);
}

/** The part of a range out of which `tulle network connect` gives addresses. */
export function connectPart({ docker }: Pick<Segment, 'docker'>, range: Prefix): Prefix {
  return docker ? Prefix.of(range.ip, range.length + 1) : range;
}

/** `docker2`, or the id where the host has no name. */
export function nameOfHost({ hostId, hostName }: SegmentHost): string {
  return hostName ?? hostId;
}

/**
 * Whether a network may be called so: one lower-case word, at most 32 characters, that Docker takes too and that needs
 * no quotes anywhere.
 */
export function isSegmentName(name: string): boolean {
  return /^[a-z0-9](?:[a-z0-9_.-]{0,30}[a-z0-9])?$/.test(name) && !RESERVED_NAMES.includes(name);
}

/** Docker's own networks. */
export const RESERVED_NAMES: readonly string[] = ['bridge', 'host', 'none', 'default', 'ingress'];

/** Whether a container may be called so: printable ASCII without spaces, at most 128 characters. */
export function isContainerName(name: string): boolean {
  return /^[\x21-\x7e]{1,128}$/.test(name);
}
