/**
 * What the tables of a device have in common. An entry is a small immutable value; the same type says what
 * is wanted and what the table holds. Differences between the tables are in one EntryKind each: how entries are
 * compared and named, and which changes write them. A change is a value of the table's own type (a netlink message, a
 * message to a program), and the table's writer sends it.
 */
import type { Clock } from '../../base/clock.ts';
import type { Prefix } from '../../base/prefix.ts';
import type { NameOf } from '../../netlink/text/link.ts';
import type { ObjectType, Repair } from '../report.ts';

/** Protocol number of our routes and next hops, RTPROT_TULLE: not one of iproute2's rt_protos. */
export const PROTOCOL = 77;

/** A network, and its place in the order in which they began. */
export interface NetworkRank {
  readonly name: string;
  readonly rank: number;
}

/** The path that wants an entry. Absent in what a dump found. */
export interface EntryOwner {
  readonly network: NetworkRank;
  readonly link: string;
  /** Lease key of the peer. */
  readonly peer: string;
  readonly revision: bigint;
  /** Of the path: a peer may have several over one link. */
  readonly subnet: Prefix;
}

export interface Entry {
  readonly owner?: EntryOwner;
}

/** What distinguishes the entries of one table. Numbers are what the kernel keys them by, and cheaper than text. */
export type Key = number | bigint | string;

/** The device an entry belongs to: tables are rewritten for another index when the device is made anew. */
export interface Device {
  readonly name: string;
  readonly index: number;
  /**
   * The tables that are ours alone: what no path wants in them is removed. Of the others nothing is touched, but for
   * routes and next hops of our protocol.
   */
  readonly owns: {
    readonly fdb: boolean;
    /** What is static for this port in the FDB of its bridge. */
    readonly bridgeFdb: boolean;
    readonly neighbors: boolean;
    readonly routes: boolean;
  };
}

/** @typeParam Change what the writer of the table sends. */
export interface EntryKind<Value extends Entry, Change = unknown> {
  readonly object: ObjectType;

  key(value: Value): Key;

  /** The key in words. */
  name(value: Value): string;

  /** Whether the kernel's entry serves as well as the wanted one. EntryOwners do not count. */
  same(desired: Value, actual: Value): boolean;

  /** Whether an entry that is not desired is ours to remove. */
  ours(actual: Value): boolean;

  /** Whether the entry in the place of a wanted one must not be overwritten. */
  conflicts?(actual: Value): boolean;

  /** How the table of another link sees an entry of this one that stands in the place of a wanted one. */
  displaced?(actual: Value): Value;

  /**
   * Makes the kernel hold `desired`. When nothing of ours is known to be there, the change is refused (EEXIST)
   * rather than to overwrite what we have not seen, in tables we share with others.
   */
  write(device: Device, desired: Value, actual: Value | undefined): Change;

  /** A change to be sent before `write`, for the kernel to see the difference; its outcome does not matter. */
  prelude?(device: Device, desired: Value, actual: Value): Change | undefined;

  /** Why no entry can be programmed on this device; undefined when one can. */
  impossible?(device: Device): string | undefined;

  remove(device: Device, actual: Value): Change;

  /** In the words of iproute2 (src/netlink/text). @param nameOf of THIS_DEVICE the name of the device */
  text(value: Value, nameOf: NameOf): string;
}

/** Stands for the index of the device in text: entries are kept without it. */
export const THIS_DEVICE = 0;

/** What a table needs of its surroundings. */
export interface TableEnvironment {
  /** Names of links. */
  readonly nameOf: NameOf;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onRepair: (repair: Repair) => void;
  /** Only a dump shows what is in the kernel. */
  readonly onStale: (reason: string) => void;
}
