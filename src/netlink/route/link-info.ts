/**
 * What makes a link the kind it is (IFLA_LINKINFO), as data. `undefined` means "attribute absent": the kernel chooses,
 * or does not say. Attributes without a name here are kept in `unknown`.
 */
import type { Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import type { UnknownAttributes } from '../attribute.ts';

/** IFLA_VXLAN_*: include/uapi/linux/if_link.h. */
export interface VxlanInfo {
  readonly kind: 'vxlan';
  readonly id?: number;
  readonly local?: Ip;
  /** Unicast remote or multicast group. */
  readonly group?: Ip;
  /** Index of the underlay link. */
  readonly link?: number;
  readonly port?: number;
  readonly portRange?: { readonly low: number; readonly high: number };
  readonly learning?: boolean;
  readonly proxy?: boolean;
  readonly rsc?: boolean;
  readonly l2miss?: boolean;
  readonly l3miss?: boolean;
  /** Seconds until a learned FDB entry is dropped. */
  readonly ageing?: number;
  /** Most FDB entries it learns; 0 for any number. */
  readonly limit?: number;
  /** Of the outer header; 0 is the kernel's default: 1 for multicast, otherwise that of the underlay. */
  readonly ttl?: number;
  readonly ttlInherit?: boolean;
  /** Of the outer header; 1 copies that of the inner one. */
  readonly tos?: number;
  /** Flow label of an outer IPv6 header. */
  readonly label?: number;
  /** Don't Fragment in the outer header: 0 unset, 1 set, 2 as in the inner one. */
  readonly df?: number;
  /** Checksum of the outer UDP header over IPv4. */
  readonly udpCsum?: boolean;
  readonly udpZeroCsum6Tx?: boolean;
  readonly udpZeroCsum6Rx?: boolean;
  readonly remcsumTx?: boolean;
  readonly remcsumRx?: boolean;
  readonly remcsumNoPartial?: boolean;
  /** VNI and far end are in the routes or set by a program (`external`). */
  readonly collectMetadata?: boolean;
  /** Takes only packets of the VNIs that it was given (`bridge vni`). */
  readonly vnifilter?: boolean;
  readonly localbypass?: boolean;
  /** Group based policy extension. */
  readonly gbp?: boolean;
  readonly gpe?: boolean;
  readonly unknown?: UnknownAttributes;
}

export interface VethInfo {
  readonly kind: 'veth';
  readonly peer?: {
    readonly name?: string;
    readonly mac?: Mac;
    readonly mtu?: number;
    readonly netnsFd?: number;
  };
}

/** IFLA_BR_*: only what Tulle sets or shows. */
export interface BridgeInfo {
  readonly kind: 'bridge';
  readonly stpState?: number;
  /** Hundredths of a second. */
  readonly forwardDelay?: number;
  /** Hundredths of a second. */
  readonly ageingTime?: number;
  readonly vlanFiltering?: boolean;
  readonly multicastSnooping?: boolean;
  readonly unknown?: UnknownAttributes;
}

/** The kernel lists it; made is such a link through /dev/net/tun alone. */
export interface TunInfo {
  readonly kind: 'tun';
  readonly type?: 'tun' | 'tap';
  readonly owner?: number;
  readonly group?: number;
  readonly packetInformation?: boolean;
  readonly vnetHeader?: boolean;
  readonly persist?: boolean;
  readonly multiQueue?: boolean;
  readonly unknown?: UnknownAttributes;
}

/** The device it stands on is `Link.lower`. */
export interface MacvlanInfo {
  readonly kind: 'macvlan';
  readonly mode?: 'private' | 'vepa' | 'bridge' | 'passthru' | 'source';
  /** MACVLAN_FLAG_*. */
  readonly flags?: number;
  readonly unknown?: UnknownAttributes;
}

/** IP in IPv4. IFLA_IPTUN_*: include/uapi/linux/if_tunnel.h. */
export interface IpipInfo {
  readonly kind: 'ipip';
  /** The kernel says 0.0.0.0 for "any". */
  readonly local?: Ip;
  /** Absent or 0.0.0.0: the route of a packet names the far end. */
  readonly remote?: Ip;
  /** Index of the underlay link; 0 for any. */
  readonly link?: number;
  /** 0 copies that of the inner packet. */
  readonly ttl?: number;
  /** 1 copies that of the inner packet. */
  readonly tos?: number;
  /** The outer packet must not be fragmented (path MTU discovery). */
  readonly pmtuDiscovery?: boolean;
  /** IPPROTO_* of the inner packets: 4 IPv4, 137 MPLS, 0 any. */
  readonly protocol?: number;
  readonly fwmark?: number;
  /** The tunnel's ends are in the routes (`external`). */
  readonly collectMetadata?: boolean;
  /** TUNNEL_ENCAP_*: 0 none, 1 FOU, 2 GUE. */
  readonly encapType?: number;
  /** TUNNEL_ENCAP_FLAG_*. */
  readonly encapFlags?: number;
  readonly encapSourcePort?: number;
  readonly encapDestinationPort?: number;
  readonly unknown?: UnknownAttributes;
}

/** Keys and peers are set through generic netlink; the link itself has no data. */
export interface WireguardInfo {
  readonly kind: 'wireguard';
}

export interface OtherLinkInfo {
  readonly kind: 'other';
  /** The kernel's name for the kind: `dummy`. */
  readonly name: string;
  readonly data?: Uint8Array;
}

export type LinkInfo =
  | VxlanInfo
  | VethInfo
  | BridgeInfo
  | TunInfo
  | MacvlanInfo
  | IpipInfo
  | WireguardInfo
  | OtherLinkInfo;

/** The kernel's name for the kind of a link, which `ip link` prints. */
export function linkKind(info: LinkInfo): string {
  return info.kind === 'other' ? info.name : info.kind;
}
