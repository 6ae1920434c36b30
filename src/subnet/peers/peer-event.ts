/** What the peers of this host are told by, and told: the context they are judged in, and what is news. */
import type { Ip } from '../../base/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { Lease, LeaseAttributes } from '../lease/lease.ts';

export interface Self {
  readonly config: NetworkConfig;
  /** What we publish: our id, and the addresses that lead back to us. */
  readonly self: LeaseAttributes;
  /** The key of our own lease, whatever it says; absent until it is known which one that is. */
  readonly ownKey?: string;
}

/** What is to be told once. */
export type PeerEvent =
  | { readonly type: 'rejected'; readonly key: string; readonly reason: string }
  /** A key that was rejected is a good lease now. */
  | { readonly type: 'accepted'; readonly key: string }
  /** A key that was rejected is gone. */
  | { readonly type: 'withdrawn'; readonly key: string }
  /** Several peers have one public address: packets for all of them go to whoever really has it. */
  | { readonly type: 'shared-address'; readonly address: Ip; readonly keys: readonly string[] };

export interface PeerChanges {
  readonly changed: readonly Lease[];
  /** Keys. */
  readonly removed: readonly string[];
}
