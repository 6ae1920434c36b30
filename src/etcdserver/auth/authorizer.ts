/**
 * Authorization by certificate, besides users and roles: what such a restricted caller may write depends on what is
 * there and on what it proposes. It reads everything, writes key by key, has store leases of its own, and administers
 * nothing.
 */
import type { KeyChange } from '../mvcc/mvcc.ts';
import type { Kv } from '../sqlite/tables.ts';

/** Who asks. */
export interface RestrictedCaller {
  /** Common name of the certificate. */
  readonly name: string;
  /** Address the request came from, without the port. */
  readonly address: string;
}

export interface ProposedWrite {
  readonly key: Uint8Array;
  /** undefined for a deletion. */
  readonly next: { readonly value: Uint8Array; readonly lease: bigint } | undefined;
}

export interface Authorizer {
  /** Callers whose certificate names this organization are restricted; all others are not. */
  readonly organization: string;
  /** How many store leases one caller may have, and for how many seconds at the longest. */
  readonly storeLeases: { readonly most: number; readonly longest: bigint };
  /** The keys that its decisions depend on: from `start`, up to and without `end`. */
  readonly keys: { readonly start: Uint8Array; readonly end: Uint8Array };
  /** Replaces what it knows by what is at these keys. */
  reset(kvs: Iterable<Kv>): void;
  /** Follows a change of any key. */
  follow(change: KeyChange): void;
  /** Why this caller may not do these writes, which happen together; undefined when it may. */
  refuses(caller: RestrictedCaller, writes: readonly ProposedWrite[]): string | undefined;
  /** Whether what is at this key is the caller's own. */
  owns(name: string, key: Uint8Array): boolean;
}
