/** What the data plane reports of itself: results, repairs, status. Plain data, ready to be shown. */
import { defined } from '../base/defined.ts';
import type { Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { DesiredLink } from './desired-link.ts';
import type { LinkErrorCode } from './links/link.ts';

export type ObjectType =
  | 'link'
  | 'address'
  | 'sysctl'
  | 'neighbor'
  | 'fdb'
  | 'bridge-fdb'
  | 'nexthop'
  | 'route'
  | 'tunnel'
  | 'command'
  | 'program';

/**
 * start  left by an earlier run, by flannel or by hand, and found when the device was taken over
 * drift  another program changed what we had programmed
 */
export type RepairCause = 'start' | 'drift';

/** One difference that was not of our making, and what was done about it. */
export interface Repair {
  readonly cause: RepairCause;
  readonly object: ObjectType;
  /** restored: it was missing; replaced: it was wrong; removed: it was superfluous. */
  readonly action: 'restored' | 'replaced' | 'removed';
  /** Device it belongs to. */
  readonly link: string;
  /** The network that wants what is there now; absent when nothing is desired there. */
  readonly network?: string;
  /** Lease key of the peer it serves, if any. */
  readonly peer?: string;
  /** What was found, in the words of iproute2; absent when nothing was there. */
  readonly found?: string;
  /** What is there now; absent when it was removed. */
  readonly wanted?: string;
  /** How many more of this kind were repaired with it, and are not reported one by one. */
  readonly others?: number;
}

/** Another program keeps undoing repairs. Repairs wait for one another until that ends. */
export interface WriterConflict {
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** Repairs since then. */
  readonly repairs: number;
  readonly latest: Repair;
}

/** The repair of a difference: undefined for what was found or is wanted means nothing. */
export function repairOf({
  found,
  wanted,
  network,
  peer,
  ...rest
}: Pick<Repair, 'cause' | 'object' | 'link'> & {
  readonly network?: string | undefined;
  readonly peer?: string | undefined;
  readonly found: string | undefined;
  readonly wanted: string | undefined;
}): Repair {
  const action = wanted === undefined ? 'removed' : found === undefined ? 'restored' : 'replaced';
  return { ...rest, action, ...defined({ network, peer, found, wanted }) };
}

/** Result of one `apply()`: the true state of affairs, also after a partial failure. */
export interface ApplyResult {
  /** Every wanted entry is in the kernel, and no stale one of ours. */
  readonly inSync: boolean;
  /** Changes that were sent: modifying netlink requests, and entries of other tables. */
  readonly writes: number;
  /** What could not be done, one sentence each. At most the first 100. */
  readonly failures: readonly string[];
}

/** What the kernel had under the name of a device when it was looked at last, whatever is wanted. */
export interface LinkFacts {
  readonly vni?: number;
  /** UDP port. */
  readonly port?: number;
  readonly mtu?: number;
  readonly mac?: Mac;
  readonly local?: Ip;
  /** With their prefix lengths: `10.5.34.0/32`. Absent when it went wrong before they were read. */
  readonly addresses?: readonly string[];
}

export interface LinkReport {
  /** The first of the networks that want it; absent for one that is about to be left alone. */
  readonly network?: string;
  readonly name: string;
  readonly kind: DesiredLink['kind'];
  /** Absent while the device is not in place. */
  readonly index?: number;
  /** Absent while the kernel has no such device. */
  readonly actual?: LinkFacts;
  readonly inSync: boolean;
  /** Why not. */
  readonly reason?: string;
  /** Of the reason, when something on this host is in the way. */
  readonly code?: LinkErrorCode;
  readonly hint?: string;
}

/** One network's part of the data plane. */
export interface NetworkReport {
  readonly name: string;
  /** Everything that it wants is in place. */
  readonly inSync: boolean;
  /** What it wants; an entry that several of its peers or networks want counts for each. And what of that failed. */
  readonly wanted: number;
  readonly failed: number;
  /** What could not be done, one sentence each. At most the first 100. */
  readonly failures: readonly string[];
  readonly links: readonly LinkReport[];
}

export interface DataPlaneReport {
  readonly inSync: boolean;
  /** Entries (neighbor, FDB of a tunnel or a bridge, nexthop, route, tunnel, command, address, sysctl, program, link) wanted, and those that failed. */
  readonly wanted: number;
  readonly failed: number;
  /** Changes that were sent since the data plane was opened. */
  readonly writes: number;
  /** When everything was last compared with the kernel, milliseconds since the epoch; and how long that took. */
  readonly lastResync?: { readonly at: number; readonly ms: number; readonly reason: string };
  /** Repaired drift since the data plane was opened, by object. */
  readonly driftRepairs: Readonly<Partial<Record<ObjectType, number>>>;
  readonly conflict?: WriterConflict;
  readonly lastError?: string;
  readonly links: readonly LinkReport[];
  /** Whether peers are programmed with nexthop objects; undefined until the kernel was asked. */
  readonly nexthopObjects?: boolean;
}

export interface PeerReport {
  readonly key: string;
  /** pending: wanted and not in the kernel yet; failed: the kernel refused, or another peer has the entry. */
  readonly state: 'ok' | 'pending' | 'failed';
  readonly reason?: string;
  /** Names of the links that its routes lead over. */
  readonly links: readonly string[];
  /** Kernel entries in the words of iproute2: `route 10.3.2.0/24 via 10.3.2.0 dev flannel.1 proto 77 onlink`. */
  readonly desired: readonly string[];
  /** The same as the kernel has them, as far as we know; equal to `desired` when the state is `ok`. */
  readonly actual: readonly string[];
}
