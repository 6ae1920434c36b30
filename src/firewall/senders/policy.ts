/** Who may send tunnel packets to this host, and with which sources in them: what the filter is made from. */
import type { Ip } from '../../base/ip.ts';
import type { PerFamily } from '../../base/per-family.ts';
import type { Prefix } from '../../base/prefix.ts';

/** Tunnel packets that come to one UDP port. */
export interface GuardedTunnel {
  readonly port: number;
  /** VXLAN networks that are ours: other programs may have theirs on the same port. Absent where every datagram is ours. */
  readonly vnis?: readonly number[];
  /** Whether an inner source inside our networks must belong to the sender; not on an L2 network, where any host may have any. */
  readonly checksSources: boolean;
}

export interface SenderPolicy {
  /** The overlay's blocks: a source inside of one belongs to the host that has leased its subnet. */
  readonly networks: PerFamily<Prefix>;
  /** This host's own subnets: those of others will have their lengths, so that there is a place for them beforehand. */
  readonly subnets: PerFamily<Prefix>;
  readonly tunnels: readonly GuardedTunnel[];
}

/** One host that may send. */
export interface Sender {
  /** Underlay addresses that its tunnel packets come from. */
  readonly addresses: readonly Ip[];
  /** Its subnets. */
  readonly blocks: readonly Prefix[];
}

/** What the filter has refused since it was made. */
export interface RefusedSenders {
  /** Packets from an address that no peer has, and packets whose inner source is another host's. */
  readonly strangers: number;
  readonly sources: number;
  /** Addresses of strangers in the last hour, 64 of each family at most. */
  readonly recent: readonly Ip[];
}
