/**
 * A rule for callers who are known by their certificates, besides users and roles: what such a caller may write
 * depends on what is there and on what is to be there. It reads everything, writes key by key, has store leases of its
 * own, and administers nothing.
 */
import type { KeyChange } from '../mvcc/mvcc.ts';
import type { Kv } from '../sqlite/tables.ts';

/** Who asks. */
export interface GuardedCaller {
  /** Common name of the certificate. */
  readonly name: string;
  /** Address the request came from, without the port. */
  readonly address: string;
}

export interface GuardedWrite {
  readonly key: Uint8Array;
  /** undefined for a deletion. */
  readonly next: { readonly value: Uint8Array; readonly lease: bigint } | undefined;
}

export interface Guard {
  /** The rule is for callers whose certificate names this organization; the others are not asked. */
  readonly organization: string;
  /** How many store leases one caller may have, and for how many seconds at the longest. */
  readonly storeLeases: { readonly most: number; readonly longest: bigint };
  /** The keys that it wants to know of: from `start`, up to and without `end`. */
  readonly keys: { readonly start: Uint8Array; readonly end: Uint8Array };
  /** Takes what is at these keys, instead of all that it knows. */
  reset(kvs: Iterable<Kv>): void;
  /** Follows a change of any key. */
  follow(change: KeyChange): void;
  /** Why this caller may not do these writes, which happen together; undefined when it may. */
  refuses(caller: GuardedCaller, writes: readonly GuardedWrite[]): string | undefined;
  /** Whether what is at this key is the caller's own. */
  owns(name: string, key: Uint8Array): boolean;
}
