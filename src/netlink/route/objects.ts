/**
 * The rtnetlink objects as Tulle sees them: plain immutable data. `undefined` means "attribute absent"; zero is
 * a value. Kernel names are kept for enumerations. Attributes we have no name for are kept in `unknown`,
 * but for those of links.
 */
import type { Family, Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import type { InterfaceAddress, Prefix } from '../../base/prefix.ts';
import type { UnknownAttributes } from '../attribute.ts';
import type { BridgePort } from './bridge-port.ts';
import type { LinkInfo } from './link-info.ts';

export interface Link {
  readonly index: number;
  readonly name: string;
  /** ARPHRD_*. */
  readonly type: number;
  /** IFF_* as one number. */
  readonly flags: number;
  readonly up: boolean;
  /** IFF_LOWER_UP: has carrier. */
  readonly running: boolean;
  readonly mtu?: number;
  readonly mac?: Mac;
  readonly master?: number;
  /** IFLA_LINK: the lower device; for veth the peer's index (in another namespace, perhaps). */
  readonly lower?: number;
  readonly operState?: number;
  readonly txQueueLength?: number;
  readonly alias?: string;
  /** A number by which links are deleted together; absent for 0, which all have that were given none. */
  readonly group?: number;
  readonly altNames?: readonly string[];
  readonly netnsId?: number;
  /** Of a link that is gone because it was moved: the other namespace's number here, its index there. */
  readonly movedTo?: { readonly netnsId: number; readonly index: number };
  /** Kind and its data; absent for a physical device. */
  readonly info?: LinkInfo;
  /** Of the bridge that is its master. */
  readonly port?: BridgePort;
  /** Number of the BPF program that sees packets first (XDP); absent where there is none. */
  readonly xdpProgram?: number;
}

/** What a new link should be. */
export interface NewLink {
  readonly name: string;
  readonly info: LinkInfo;
  readonly mtu?: number;
  readonly mac?: Mac;
  readonly up?: boolean;
  readonly master?: number;
  readonly lower?: number;
  readonly txQueueLength?: number;
  /** Create it in another namespace, given by an open file descriptor. */
  readonly netnsFd?: number;
}

/** Changes to an existing link; absent means "leave". */
export interface LinkChange {
  readonly name?: string;
  readonly mtu?: number;
  readonly mac?: Mac;
  readonly up?: boolean;
  /** 0 releases it from its master. */
  readonly master?: number;
  readonly netnsFd?: number;
  /** The link is in another namespace, that of `Link.movedTo`. */
  readonly targetNetnsId?: number;
  readonly txQueueLength?: number;
  readonly alias?: string;
  /** See `Link.group`. */
  readonly group?: number;
  /** Of the link's own kind; only what is given changes, and not everything can. */
  readonly info?: LinkInfo;
  /** Of the bridge that was its master before this change. */
  readonly port?: BridgePort;
}

export interface Address extends InterfaceAddress {
  readonly index: number;
  readonly family: Family;
  /** RT_SCOPE_*: 0 universe, 253 link, 254 host. */
  readonly scope: number;
  /** IFA_F_*: 0x80 permanent, 0x20 deprecated, 0x01 temporary/secondary. */
  readonly flags: number;
  readonly label?: string;
  readonly broadcast?: Ip;
  readonly peer?: Ip;
  readonly unknown: UnknownAttributes;
}

export type NewAddress = InterfaceAddress &
  Partial<Pick<Address, 'scope' | 'flags' | 'label' | 'broadcast'>> & { readonly index: number };

/** Lightweight tunnel state of a route (LWTUNNEL_ENCAP_IP, include/uapi/linux/lwtunnel.h). */
export interface IpEncap {
  readonly id: bigint;
  readonly destination: Ip;
  readonly source?: Ip;
  readonly ttl?: number;
  readonly tos?: number;
  /** TUNNEL_*, network order on the wire. */
  readonly flags?: number;
}

export interface Route {
  /** undefined is the default route. */
  readonly destination?: Prefix;
  readonly family: Family;
  readonly table: number;
  /** RTPROT_*: 2 kernel, 3 boot, 4 static. */
  readonly protocol: number;
  /** RT_SCOPE_*. */
  readonly scope: number;
  /** RTN_*: 1 unicast, 6 blackhole. */
  readonly type: number;
  /** RTNH_F_*: 4 onlink; what the kernel reports besides (dead 1, linkdown 16) is kept. */
  readonly flags: number;
  readonly gateway?: Ip;
  readonly oif?: number;
  /** Absent for packets of any type of service. */
  readonly tos?: number;
  readonly priority?: number;
  readonly preferredSource?: Ip;
  readonly nexthopId?: number;
  /** RTAX_MTU. */
  readonly mtu?: number;
  readonly encap?: IpEncap;
  readonly unknown: UnknownAttributes;
}

export type NewRoute = Partial<Omit<Route, 'unknown' | 'family'>> & { readonly family?: Family };

/** Next hop objects, kernel 5.3 and later: include/uapi/linux/nexthop.h. */
export interface Nexthop {
  readonly id: number;
  /** Absent for a group of next hops. */
  readonly family?: Family;
  /** RT_SCOPE_*, chosen by the kernel: 253 link through a gateway, 254 host without one. */
  readonly scope?: number;
  readonly protocol: number;
  readonly flags: number;
  readonly gateway?: Ip;
  readonly oif?: number;
  readonly blackhole?: boolean;
  readonly unknown: UnknownAttributes;
}

export type NewNexthop = Partial<Pick<Nexthop, 'protocol' | 'flags' | 'gateway' | 'oif' | 'blackhole'>> & {
  readonly id: number;
  readonly family: Family;
};

/** IP address -> link-layer address, on one link. */
export interface Neighbor {
  readonly index: number;
  readonly ip: Ip;
  readonly mac?: Mac;
  /** NUD_*: 0x80 permanent, 0x02 reachable. */
  readonly state: number;
  /** NTF_*. */
  readonly flags: number;
  readonly protocol?: number;
  readonly unknown: UnknownAttributes;
}

export type NewNeighbor = Pick<Neighbor, 'index' | 'ip'> &
  Partial<Pick<Neighbor, 'mac' | 'state' | 'flags' | 'protocol'>>;

/** Link-layer address -> where its frames go, in the table of a vxlan link or a bridge (AF_BRIDGE). */
export interface FdbEntry {
  readonly index: number;
  readonly mac: Mac;
  /** NUD_*: 0x80 permanent, 0x40 noarp (static), 0x02 reachable (learned). */
  readonly state: number;
  /** NTF_*: 0x02 self, 0x04 master. */
  readonly flags: number;
  /** Remote VTEP, for vxlan. */
  readonly destination?: Ip;
  readonly vni?: number;
  readonly port?: number;
  /** Index of the link to send from, if that is not the device's own lower one. */
  readonly via?: number;
  readonly vlan?: number;
  readonly master?: number;
  readonly unknown: UnknownAttributes;
}

export type NewFdbEntry = Pick<FdbEntry, 'index' | 'mac'> &
  Partial<Pick<FdbEntry, 'state' | 'flags' | 'destination' | 'vni' | 'port' | 'via' | 'vlan'>>;

/** Settings of a link that are sysctls too; a message has those it is about. */
export interface Netconf {
  readonly family: Family;
  /** NETCONFA_IFINDEX_ALL (-1) and NETCONFA_IFINDEX_DEFAULT (-2) are no links. */
  readonly index: number;
  readonly forwarding?: number;
  readonly rpFilter?: number;
  /** proxy_arp or proxy_ndp. */
  readonly proxyNeighbors?: number;
  readonly unknown: UnknownAttributes;
}

/** Policy routing rule. */
export interface Rule {
  readonly family: Family;
  readonly priority?: number;
  readonly table: number;
  readonly source?: Prefix;
  readonly destination?: Prefix;
  readonly fwmark?: number;
  readonly fwmask?: number;
  readonly iifName?: string;
  readonly oifName?: string;
  /** Type of service. */
  readonly tos?: number;
  /** Priority of the rule that is asked next. */
  readonly goto?: number;
  /** IPPROTO_*. */
  readonly ipProtocol?: number;
  readonly destinationPorts?: { readonly low: number; readonly high: number };
  /** It applies to those packets that its conditions do not hold for (`ip rule add not ...`). */
  readonly inverted?: boolean;
  /** Routes with a prefix of this length or less are passed over. */
  readonly suppressPrefixLength?: number;
  /** FR_ACT_*: 1 to table. */
  readonly action: number;
  readonly protocol?: number;
  readonly unknown: UnknownAttributes;
}

export type NewRule = Partial<Omit<Rule, 'unknown'>> & { readonly family: Family };
