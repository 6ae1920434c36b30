/**
 * The wanted state of one host's kernel, as plain data, and nothing about how to reach it. It has two halves
 * that change at different speeds: what belongs to this host, stated as a whole, and the peers, each under the
 * key of its lease, so that one peer among 20,000 can change at the price of one.
 *
 * For VXLAN a path to a peer is four entries, which are easily confused:
 *
 *     route     peer subnet            -> next hop id                     (which packets)
 *     nexthop   id                     -> via overlay base address onlink (through which VTEP)
 *     neighbor  overlay base address   -> VTEP MAC                        (ARP: IP -> inner MAC)
 *     FDB entry VTEP MAC               -> underlay address                (inner MAC -> outer IP)
 */
import type { Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { InterfaceAddress, Prefix } from '../base/prefix.ts';
import type { DesiredLink } from './desired-link.ts';

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

/** What this host has, whoever its peers are. */
export interface DesiredHost {
  /** What this host has and had: a device that carries a block of one is ours (src/ownership). */
  readonly networks: readonly Prefix[];
  readonly links: readonly DesiredLink[];
  readonly addresses: readonly DesiredAddress[];
  readonly sysctls: readonly DesiredSysctl[];
}

/** How packets for one subnet reach its host over one of our devices. */
export interface PeerPath {
  /** Name of a desired link; a path over any other cannot be programmed, and is reported as failed. */
  readonly link: string;
  readonly subnet: Prefix;
  /** Base address of the peer's subnet: the gateway, and the neighbor's address. */
  readonly gateway: Ip;
  readonly mac: Mac;
  /** Where the tunnel packets go. */
  readonly underlayIp: Ip;
}

export interface DesiredPeer {
  /** Lease key: the peer's identity here, and in reports. */
  readonly key: string;
  /**
   * When two peers claim the same entry with different content (one VTEP MAC at two addresses), the higher
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
