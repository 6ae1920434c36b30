/**
 * The wanted state of one network on one host, as plain data, and nothing about how to reach it. It has two halves
 * that change at different speeds: what belongs to this host, stated as a whole, and the peers, each under the
 * key of its lease, so that one peer among 20,000 can change at the price of one.
 */
import type { Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { InterfaceAddress, Prefix } from '../base/prefix.ts';
import type { DesiredLink } from './desired-link.ts';
import type { DesiredProgram } from './programs.ts';
import type { HostCommand } from './tables/commands.ts';

export interface DesiredAddress {
  readonly link: string;
  /** Every other address of the link goes, unless the kernel gave it (link-local). */
  readonly address: InterfaceAddress;
}

/** A sysctl of a device. */
export interface DesiredSysctl {
  readonly link: string;
  /** Below /proc/sys: `net/ipv6/conf/flannel.88/accept_ra`. */
  readonly path: string;
  readonly value: string;
  /** Only as long as this other one has this value; otherwise ours is left as it is. */
  readonly whenever?: { readonly path: string; readonly value: string };
}

/** What this host has, independent of its peers. */
export interface DesiredHost {
  /** What this host has and had: a device that carries a block of one is ours (src/ownership). */
  readonly networks: readonly Prefix[];
  readonly links: readonly DesiredLink[];
  readonly addresses: readonly DesiredAddress[];
  readonly sysctls: readonly DesiredSysctl[];
  /**
   * At links of the host, desired ones or not. Absent: nothing is said of programs. As soon as any network says something,
   * also that it wants none, what an earlier run has left at any link is detached.
   */
  readonly programs?: readonly DesiredProgram[];
}

/** Packets to a destination leave over the link of the path. */
export interface DesiredRoute {
  readonly kind: 'route';
  readonly destination: Prefix;
  /** Absent: straight over the link. Where the kernel has next hop objects, the gateway becomes one of its own. */
  readonly gateway?: Ip;
  /** The gateway is on the link, though no address of the link says so. */
  readonly onlink?: boolean;
  /** Largest packet over this route, in bytes; absent: that of the link. */
  readonly mtu?: number;
  /** Address of this host that its own packets are from, unless the program chooses; absent: one of the link. */
  readonly source?: Ip;
}

/** An address that is reached over the link has this MAC address. */
export interface DesiredNeighbor {
  readonly kind: 'neighbor';
  readonly ip: Ip;
  readonly mac: Mac;
}

/**
 * Frames to a MAC address are sent to this underlay address, by a vxlan link. The address of all zeros stands for every
 * address that has no entry, and for group addresses; it may have several destinations.
 */
export interface DesiredFdbEntry {
  readonly kind: 'fdb';
  readonly mac: Mac;
  readonly destination: Ip;
}

/** Frames to a MAC address leave a bridge by the link of the path, which is a port of our own. */
export interface DesiredBridgeFdbEntry {
  readonly kind: 'bridge-fdb';
  readonly mac: Mac;
}

/** Packets to a subnet are sent to this UDP address, by the program that holds the link open (tables/tunnels.ts). */
export interface DesiredTunnel {
  readonly kind: 'tunnel';
  readonly subnet: Prefix;
  readonly destination: Ip;
  /** UDP port. */
  readonly port: number;
}

/** Commands that the operator has written make what a subnet needs, and undo it (tables/commands.ts). */
export interface DesiredCommand {
  readonly kind: 'command';
  readonly subnet: Prefix;
  readonly add?: HostCommand;
  readonly remove?: HostCommand;
  /** Names what was done on this host before: when that is done again, so are these. */
  readonly after?: string;
}

/** One thing that must be known for a path. Each kind has a table, and each table its writer. */
export type PathEntry =
  | DesiredRoute
  | DesiredNeighbor
  | DesiredFdbEntry
  | DesiredBridgeFdbEntry
  | DesiredTunnel
  | DesiredCommand;

/** How packets for one subnet reach its host over one link. Peer, link and subnet together identify it. */
export interface PeerPath {
  /** Name of a desired link; a path over any other cannot be programmed, and is reported as failed. */
  readonly link: string;
  readonly subnet: Prefix;
  /** Address of the peer's host in the underlay. */
  readonly underlayIp: Ip;
  readonly entries: readonly PathEntry[];
  /** No packet is sent over it, so that it does not count in what is reported of the peer. */
  readonly receivesOnly?: boolean;
}

export interface DesiredPeer {
  /** Lease key: the peer's identity here, and in reports. */
  readonly key: string;
  /**
   * When two peers want the same entry with different content (one VTEP MAC at two addresses), the higher
   * revision has it and the other peer is reported as failed. The store's modification revision, if any.
   */
  readonly revision: bigint;
  /** Each with another link or subnet; empty when there is no way to this peer. */
  readonly paths: readonly PeerPath[];
}

export interface Desired {
  readonly host: DesiredHost;
  readonly peers: Iterable<DesiredPeer>;
}
