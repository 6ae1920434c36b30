/** The links that a host should have, by kind. What is absent is left as it is found. */
import type { Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { BridgePort } from '../netlink/route/bridge-port.ts';

/** In the place of a bridge's name: the link must be a port of none. */
export const NO_MASTER = 'nomaster';

/** What may be said of a link of any kind. */
interface CommonLink {
  readonly name: string;
  readonly mtu?: number;
  readonly mac?: Mac;
  /** Name of the bridge that it is a port of, or NO_MASTER. */
  readonly master?: string;
  /** How its bridge treats it; for a link with a bridge as `master`. */
  readonly bridgePort?: BridgePort;
  /**
   * Set where only this program makes links of such names: one that it did not make, and that has another MAC address, is
   * another's, whatever it carries.
   */
  readonly knownByMac?: true;
}

/**
 * A VXLAN device. Everything permanent in its FDB and neighbor table is ours. Every packet's far end is that of an FDB
 * entry, or else `remote`.
 */
export interface DesiredVxlan extends CommonLink {
  readonly kind: 'vxlan';
  readonly vni: number;
  /** Index of the underlay link; 0 for none. */
  readonly underlayIndex: number;
  readonly local?: Ip;
  /** UDP port. */
  readonly port: number;
  readonly learning: boolean;
  readonly gbp: boolean;
  readonly mtu: number;
  readonly mac: Mac;
  /** Far end, or multicast group, of packets that no FDB entry names one for. */
  readonly remote?: Ip;
  /** Of the outer header; absent: the kernel's default, 1 to a group and otherwise that of the underlay. */
  readonly ttl?: number;
}

export interface DesiredBridge extends CommonLink {
  readonly kind: 'bridge';
  readonly stp?: boolean;
  readonly multicastSnooping?: boolean;
}

/** A pair of links; the other end is the container's, or a port of a bridge. */
export interface DesiredVeth extends CommonLink {
  readonly kind: 'veth';
  /** Name of the other end when the pair is made. */
  readonly peer: string;
}

/** The kernel makes one only for the process that holds it open: it is waited for, and kept as it should be. */
export interface DesiredTun extends CommonLink {
  readonly kind: 'tun';
  readonly type: 'tun' | 'tap';
}

/** IP in IPv4. Without `remote` the next hop of a route is the far end. */
export interface DesiredIpip extends CommonLink {
  readonly kind: 'ipip';
  /** Index of the underlay link; 0 for any. */
  readonly underlayIndex: number;
  readonly local?: Ip;
  readonly remote?: Ip;
}

/**
 * A link of the host, of whatever kind, that is used as it is: it is neither made, changed nor deleted. Of its entries
 * only routes and next hops of protocol 77 are ours.
 */
export interface ExistingLink {
  readonly kind: 'existing';
  readonly name: string;
}

/** A link of our own. */
export type OwnLink = DesiredVxlan | DesiredBridge | DesiredVeth | DesiredTun | DesiredIpip;

export type DesiredLink = OwnLink | ExistingLink;
