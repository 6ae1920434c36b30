/**
 * Who may do what. Without authentication every client may do everything; with it every request is asked here, before
 * it is applied and in the same job, so that a permission revoked before a write stops that write.
 */
import type {
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from '../../store/wire/generated/kv_pb.ts';
import { refusal } from '../errors.ts';
import { type KeyRange, rangeOf } from '../kv/range.ts';
import type { Caller } from '../rpc.ts';
import type { AuthStore } from './auth-store.ts';
import type { AccessKind } from './permissions.ts';
import type { RestrictedAccess } from './restricted-access.ts';
import type { Tokens } from './tokens.ts';

const SINGLE = new Uint8Array();

/** What a decision may depend on. */
export interface AccessOptions {
  readonly auth: AuthStore;
  readonly tokens: Tokens;
  /** Absent: certificates only name users. */
  readonly restricted: RestrictedAccess | undefined;
  readonly keysOfLease: (lease: bigint) => Uint8Array[];
}

export class Access {
  readonly #auth: AuthStore;
  readonly #tokens: Tokens;
  readonly #restricted: RestrictedAccess | undefined;
  readonly #keysOfLease: (lease: bigint) => Uint8Array[];

  constructor({ auth, tokens, restricted, keysOfLease }: AccessOptions) {
    this.#auth = auth;
    this.#tokens = tokens;
    this.#restricted = restricted;
    this.#keysOfLease = keysOfLease;
  }

  /**
   * The user who asks, by token or else by certificate; undefined while authentication is off.
   * @throws RpcError for a token that is not (or no longer) valid, and for a caller without a name.
   */
  userOf(caller: Caller): string | undefined {
    if (!this.#auth.enabled) return undefined;
    if (caller.token !== undefined) {
      const user = this.#tokens.userOf(caller.token);
      if (user === undefined) throw refusal('invalidAuthToken');
      return user;
    }
    if (caller.commonName === undefined) throw refusal('userEmpty');
    return caller.commonName;
  }

  /** For what every caller may do but a restricted one. */
  unrestricted(caller: Caller): void {
    if (this.#restrictedFor(caller) !== undefined) throw refusal('permissionDenied');
  }

  admin(caller: Caller): void {
    this.unrestricted(caller);
    const user = this.userOf(caller);
    if (user !== undefined && !this.#auth.isRoot(user)) throw refusal('permissionDenied');
  }

  range(caller: Caller, request: Pick<RangeRequest | Compare, 'key' | 'rangeEnd'>): void {
    if (this.#restrictedFor(caller) === undefined) {
      this.#keys(caller, 'read', rangeOf(request.key, request.rangeEnd));
    }
  }

  put(caller: Caller, request: PutRequest): void {
    const restricted = this.#restrictedFor(caller);
    if (restricted !== undefined) return restricted.put(caller, request);
    const range = rangeOf(request.key, SINGLE);
    this.#keys(caller, 'write', range);
    // Attaching a key to a lease also decides when the lease's other keys are deleted: it takes the right to write them.
    if (request.lease !== 0n) this.#keysOn(caller, 'write', request.lease);
    if (request.prevKv) this.#keys(caller, 'read', range);
  }

  deleteRange(caller: Caller, request: DeleteRangeRequest): void {
    const restricted = this.#restrictedFor(caller);
    if (restricted !== undefined) return restricted.deleteRange(caller, request);
    const range = rangeOf(request.key, request.rangeEnd);
    this.#keys(caller, 'write', range);
    if (request.prevKv) this.#keys(caller, 'read', range);
  }

  txn(caller: Caller, request: TxnRequest): void {
    const restricted = this.#restrictedFor(caller);
    if (restricted !== undefined) return restricted.txn(caller, request);
    if (!this.#auth.enabled) return;
    for (const one of request.compare) this.range(caller, one);
    for (const op of [...request.success, ...request.failure]) this.#op(caller, op);
  }

  /** @returns whose the new lease is; undefined for a caller who needs no rule for that */
  grantLease(caller: Caller, ttl: bigint): string | undefined {
    return this.#restrictedFor(caller)?.grant(caller, ttl);
  }

  /** Every caller may do it, as with etcd, but for those that a rule holds to their own leases. */
  keepLeaseAlive(caller: Caller, lease: bigint): void {
    this.#restrictedFor(caller)?.lease(caller, lease);
  }

  /** Ends all keys that are attached to the lease. */
  revokeLease(caller: Caller, lease: bigint): void {
    const restricted = this.#restrictedFor(caller);
    if (restricted !== undefined) return restricted.lease(caller, lease);
    this.#keysOn(caller, 'write', lease);
  }

  /** Shows all keys that are attached to the lease. */
  readLease(caller: Caller, lease: bigint): void {
    if (this.#restrictedFor(caller) === undefined) this.#keysOn(caller, 'read', lease);
  }

  #op(caller: Caller, { request }: RequestOp): void {
    switch (request.case) {
      case 'requestRange':
        return this.range(caller, request.value);
      case 'requestPut':
        return this.put(caller, request.value);
      case 'requestDeleteRange':
        return this.deleteRange(caller, request.value);
      case 'requestTxn':
        return this.txn(caller, request.value);
      case undefined:
    }
  }

  /** The rule for this caller, if there is one. */
  #restrictedFor(caller: Caller): RestrictedAccess | undefined {
    return this.#restricted?.concerns(caller) === true ? this.#restricted : undefined;
  }

  #keysOn(caller: Caller, kind: AccessKind, lease: bigint): void {
    if (!this.#auth.enabled) return;
    for (const key of this.#keysOfLease(lease)) this.#keys(caller, kind, rangeOf(key, SINGLE));
  }

  #keys(caller: Caller, kind: AccessKind, range: KeyRange): void {
    const user = this.userOf(caller);
    if (user === undefined || this.#auth.isRoot(user)) return;
    if (this.#auth.permissionsOf(user)?.allow(kind, range) !== true) throw refusal('permissionDenied');
  }
}
