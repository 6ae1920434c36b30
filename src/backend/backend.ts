/**
 * A backend moves packets between hosts. It is two pure functions around one moment of truth: what to publish
 * about this host, and what the kernel should look like given the peers. It never touches the kernel itself;
 * `dataplane` makes the returned state real.
 */
import type { Ip } from '../base/ip.ts';
import type { Desired } from '../dataplane/desired.ts';
import type { NetworkConfig } from '../subnet/config.ts';
import type { Lease, LeaseAttributes, Subnet } from '../subnet/lease.ts';

/** The physical path of this host: the link that carries tunnel packets and its addresses. */
export interface Underlay {
  readonly link: { readonly index: number; readonly name: string; readonly mtu: number };
  /** Address of the link itself. */
  readonly ipv4?: Ip;
  readonly ipv6?: Ip;
  /** Address that peers are told; equal to the link's unless given by `--public-ip`. */
  readonly publicIpv4?: Ip;
  readonly publicIpv6?: Ip;
}

export interface BackendContext {
  readonly config: NetworkConfig;
  readonly underlay: Underlay;
  /** Secrets and identities that survive restarts, by name; created by the agent's state directory. */
  readonly identity: HostIdentity;
}

export interface HostIdentity {
  /** Stable id of this host, a UUID. */
  readonly hostId: string;
  /** Stable VTEP MAC address for a device of this name. */
  mac(linkName: string): import('../base/mac.ts').Mac;
}

/** A peer the backend cannot or need not reach, and why; shown in `tulle status`. */
export interface UnreachablePeer {
  readonly lease: Lease;
  readonly reason: string;
}

export interface Plan {
  readonly desired: Desired;
  /** Leases that yield no entries: another backend type, unusable data. */
  readonly unreachable: readonly UnreachablePeer[];
}

export interface Backend {
  readonly type: string;
  /** What peers are told about this host. */
  attributes(): Pick<LeaseAttributes, 'backendType' | 'backendData' | 'backendV6Data'>;
  /** MTU of packets between containers: FLANNEL_MTU. */
  readonly overlayMtu: number;
  /** The whole wanted kernel state for these peers (own lease excluded). */
  plan(own: Subnet, peers: Iterable<Lease>): Plan;
}
