/**
 * The seam to the registry's key-value store: etcd's model (revisions, leases, transactions, watches) without
 * its wire. `etcd/` speaks to a server. src/testing has one in memory, and `store-contract/`, the suite that
 * both pass.
 *
 * Keys are text. Values are bytes: what another program wrote need not be text.
 */
import type { TulleErrorOptions } from '../base/errors.ts';
import { TulleError } from '../base/errors.ts';

/** The store's own number for a state of its contents; grows by one with every change. */
export type Revision = bigint;

/** Identity of a lease inside the store (etcd's lease id); 0n means "none". */
export type StoreLeaseId = bigint;

export interface KeyValue {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  /** Number of changes since the key was created, 1 for a new one. */
  readonly version: bigint;
  readonly lease: StoreLeaseId;
}

/** A condition on one key. A key that does not exist has version, create and mod revision 0n. */
export type Compare =
  | {
      readonly key: string;
      readonly target: 'version' | 'create' | 'mod' | 'lease';
      readonly is: '=' | '!=' | '<' | '>';
      readonly operand: bigint;
    }
  | {
      readonly key: string;
      readonly target: 'value';
      readonly is: '=' | '!=' | '<' | '>';
      readonly operand: Uint8Array;
    };

export type TxnOperation =
  | { readonly op: 'get'; readonly key: string }
  | { readonly op: 'list'; readonly prefix: string }
  | { readonly op: 'put'; readonly key: string; readonly value: Uint8Array; readonly lease?: StoreLeaseId }
  | { readonly op: 'delete'; readonly key: string };

/** In etcd's own words; not `then`, which would make promises mistake a transaction for one of theirs. */
export interface Transaction {
  /** All must hold for `success` to run; otherwise `failure` runs. */
  readonly compare: readonly Compare[];
  readonly success: readonly TxnOperation[];
  readonly failure?: readonly TxnOperation[];
}

/** Losing a comparison is a result, not an error. `found` holds the outcome of each get/list in order. */
export interface TransactionResult {
  readonly ok: boolean;
  readonly revision: Revision;
  readonly found: readonly (readonly KeyValue[])[];
}

export type StoreEvent =
  | { readonly type: 'put'; readonly kv: KeyValue }
  | { readonly type: 'delete'; readonly key: string; readonly modRevision: Revision };

/**
 * What an observer of a prefix receives. `snapshot` replaces everything known; it comes before any `events`, and
 * again whenever history was lost. After a compaction what is missing from it was deleted. After the store itself was
 * replaced (emptied, restored from a backup, another cluster behind the address) the snapshot is `unrelated` to what
 * was sent before: what is missing may never have been deleted. `events` is one revision's changes.
 *
 * `interrupted` and `resumed` bracket a time without contact, which may be the first update; `interrupted` comes
 * again when there is another reason. Nothing that is known becomes wrong through them, it only may be old. An RPC
 * failure never means "gone".
 */
export type StoreUpdate =
  | {
      readonly type: 'snapshot';
      readonly revision: Revision;
      readonly kvs: readonly KeyValue[];
      readonly unrelated?: true;
    }
  | { readonly type: 'events'; readonly revision: Revision; readonly events: readonly StoreEvent[] }
  | { readonly type: 'interrupted'; readonly error: StoreError }
  | { readonly type: 'resumed' };

export interface ClusterStatus {
  /** The endpoint in use. */
  readonly endpoint: string;
  /** What the server says it is: `3.4.23`. */
  readonly version: string;
  readonly clusterId: bigint;
  readonly revision: Revision;
  readonly leaderless: boolean;
  /** Bytes. */
  readonly databaseSize: bigint;
  readonly alarms: readonly string[];
}

/**
 * Every method rejects with StoreError and with nothing else. Calls have a deadline of their own; a failed
 * endpoint is left for the next one. A write that rejects with UNAVAILABLE may have been done or not. Disposing of
 * a store ends its observations, and every call rejects from then on.
 */
export interface Store extends AsyncDisposable {
  get(key: string): Promise<{ readonly kv: KeyValue | undefined; readonly revision: Revision }>;
  /** All keys that begin with `prefix`, or those of them that were created after a revision; in key order, as of one revision. */
  list(
    prefix: string,
    options?: { readonly createdAfter?: Revision },
  ): Promise<{ readonly kvs: readonly KeyValue[]; readonly revision: Revision }>;
  put(key: string, value: Uint8Array, options?: { readonly lease?: StoreLeaseId }): Promise<Revision>;
  /** Whether there was something to delete. */
  delete(key: string): Promise<boolean>;
  transact(transaction: Transaction): Promise<TransactionResult>;

  /**
   * Everything below `prefix` (or the one key, with `exact`), now and from now on, across reconnections and
   * compactions. Ends only when `signal` aborts or the store is disposed of, and then quietly. A slow consumer
   * costs memory, here or in the server, never events.
   */
  observe(
    prefix: string,
    options: { readonly signal: AbortSignal; readonly exact?: boolean },
  ): AsyncIterable<StoreUpdate>;

  /** A new lease of `ttl` seconds. */
  grant(ttl: number): Promise<{ readonly id: StoreLeaseId; readonly ttl: number }>;
  /** One keep-alive; the remaining seconds, or undefined when the store no longer has the lease. */
  keepAlive(id: StoreLeaseId): Promise<number | undefined>;
  /** Removes the lease and its keys; already gone is success. */
  revoke(id: StoreLeaseId): Promise<void>;
  /** Seconds left and granted, or undefined when the store does not have the lease. */
  timeToLive(id: StoreLeaseId): Promise<{ readonly remaining: number; readonly granted: number } | undefined>;

  status(): Promise<ClusterStatus>;
}

export type StoreErrorCode =
  /** No endpoint answers, no leader, a deadline passed: try again later. */
  | 'UNAVAILABLE'
  /** The server is out of space or refuses because of load: try again later. */
  | 'EXHAUSTED'
  /** History before this revision is gone. */
  | 'COMPACTED'
  /** The lease a write wanted to use does not exist any more. */
  | 'LEASE_LOST'
  /** User, password, token or certificate refused. */
  | 'UNAUTHENTICATED'
  /** The user is known, but not allowed to do this. */
  | 'FORBIDDEN'
  /** The answer of the server is not understood, or it refused a request as malformed. */
  | 'PROTOCOL';

/** A call to the store failed. */
export class StoreError extends TulleError<StoreErrorCode> {
  /** Whether the same call may succeed later with nothing changed by a person; decided here, once. */
  get retriable(): boolean {
    return this.code === 'UNAVAILABLE' || this.code === 'EXHAUSTED';
  }

  constructor(code: StoreErrorCode, message: string, options: TulleErrorOptions = {}) {
    super(code, message, options);
  }
}
