/** What the firewall of one host is made from: its place in the overlay, and what its owner asked for. */
import type { Ip } from '../base/ip.ts';
import type { PerFamily } from '../base/per-family.ts';
import type { Prefix } from '../base/prefix.ts';

/** One address family of the overlay, as this host sees it. */
export interface OverlayBlock {
  readonly network: Prefix;
  /** The subnet leased to this host. */
  readonly subnet: Prefix;
  /** Names of the links over which packets of other hosts come in; absent where that is any. */
  readonly devices?: readonly string[];
  /** Names of the links with an address of the subnet, behind which its containers are; absent while there is none. */
  readonly bridges?: readonly string[];
}

/** An L2 network, as this host sees it. */
export interface SegmentBlock {
  /** Name of its bridge. */
  readonly bridge: string;
  /** What the bridges of all L2 networks are called: a name up to a `*` at the end. */
  readonly bridges: string;
  readonly subnets: PerFamily<Prefix>;
  /** Addresses of this host on the bridge: of a family without one packets are not forwarded. */
  readonly gateways: PerFamily<Ip>;
  /** UDP port of its tunnel packets. */
  readonly port: number;
}

/** The packets that carry the overlay from host to host. */
export interface TunnelTraffic {
  /** Name of the underlay link. */
  readonly link: string;
  readonly ports: readonly number[];
  /** Addresses of this host on that link, and of its peers. */
  readonly own: readonly Ip[];
  readonly peers: readonly Ip[];
  /** TCP port where the agent answers peers; absent where it does not. */
  readonly apiPort?: number;
  /** Let those of peers through an INPUT that drops them (`--open-port`). */
  readonly isOpened: boolean;
}

/** The wanted firewall of one host, complete: what is not in it is removed if it is ours. */
export interface DesiredFirewall {
  /** Use nftables although iptables is there (`EnableNFTables`). */
  readonly nftables: boolean;
  /** At most one per family. */
  readonly blocks: readonly OverlayBlock[];
  readonly segments?: readonly SegmentBlock[];
  /** Networks that this host had before: rules that name them are ours too. */
  readonly formerNetworks?: readonly Prefix[];
  /** Hide container addresses from everything outside the overlay (`--ip-masq`). */
  readonly masquerade: boolean;
  /** Let overlay traffic through a FORWARD policy of DROP (`--iptables-forward-rules`). */
  readonly forward: boolean;
  /** Let the kernel pick source ports at random where it can, against collisions under load. */
  readonly randomFully: boolean;
  /** Absent where packets are not wrapped into UDP. */
  readonly tunnel?: TunnelTraffic;
}
