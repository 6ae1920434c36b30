/**
 * Who may do what. Without authentication everybody may do everything; with it every request is asked here, before
 * it is applied and in the same job, so that a permission revoked before a write stops that write.
 */
import type {
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from '../wire/generated/kv_pb.ts';
import type { AuthStore } from './auth-store.ts';
import { refusal } from './errors.ts';
import type { Guard } from './guard.ts';
import type { Access as Kind } from './permissions.ts';
import { type KeyRange, rangeOf } from './range.ts';
import type { Caller } from './rpc.ts';
import type { Kv } from './tables.ts';
import type { Tokens } from './tokens.ts';

const SINGLE = new Uint8Array();

/** What a decision may depend on. */
export interface AccessOptions {
  readonly auth: AuthStore;
  readonly tokens: Tokens;
  /** Absent: certificates only name users. */
  readonly guard: Guard | undefined;
  readonly keysOfLease: (lease: bigint) => Uint8Array[];
  readonly keysIn: (range: KeyRange) => Kv[];
}

export class Access {
  readonly #auth: AuthStore;
  readonly #tokens: Tokens;
  readonly #guard: Guard | undefined;
  readonly #keysOfLease: (lease: bigint) => Uint8Array[];
  readonly #keysIn: (range: KeyRange) => Kv[];

  constructor({ auth, tokens, guard, keysOfLease, keysIn }: AccessOptions) {
    this.#auth = auth;
    this.#tokens = tokens;
    this.#guard = guard;
    this.#keysOfLease = keysOfLease;
    this.#keysIn = keysIn;
  }

  /**
   * The user who asks, by token or else by certificate; undefined while authentication is off.
   * @throws RpcError for a token that is not (or no longer) valid, and for nobody.
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

  /** For what etcd lets everybody do and a guarded caller has no business with. */
  unguarded(caller: Caller): void {
    if (this.#isGuarded(caller)) throw refusal('permissionDenied');
  }

  admin(caller: Caller): void {
    this.unguarded(caller);
    const user = this.userOf(caller);
    if (user !== undefined && !this.#auth.isRoot(user)) throw refusal('permissionDenied');
  }

  range(caller: Caller, request: Pick<RangeRequest | Compare, 'key' | 'rangeEnd'>): void {
    this.#keys(caller, 'read', rangeOf(request.key, request.rangeEnd));
  }

  put(caller: Caller, request: PutRequest): void {
    if (!this.#decides(caller)) return;
    const range = rangeOf(request.key, SINGLE);
    this.#keys(caller, 'write', range, request.ignoreValue ? this.#keysIn(range)[0]?.value : request.value);
    // Whoever attaches a key to a lease gets a say in when the lease's other keys go away.
    if (request.lease !== 0n) this.lease(caller, 'write', request.lease);
    if (request.prevKv) this.#keys(caller, 'read', range);
  }

  deleteRange(caller: Caller, request: DeleteRangeRequest): void {
    const range = rangeOf(request.key, request.rangeEnd);
    this.#keys(caller, 'write', range);
    if (request.prevKv) this.#keys(caller, 'read', range);
  }

  txn(caller: Caller, { compare, success, failure }: TxnRequest): void {
    if (!this.#decides(caller)) return;
    for (const one of compare) this.range(caller, one);
    for (const op of [...success, ...failure]) this.#op(caller, op);
  }

  /** All keys that hang on a lease. */
  lease(caller: Caller, kind: Kind, lease: bigint): void {
    if (!this.#decides(caller)) return;
    for (const key of this.#keysOfLease(lease)) this.#keys(caller, kind, rangeOf(key, SINGLE));
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

  #isGuarded({ organization }: Caller): boolean {
    return this.#guard !== undefined && organization === this.#guard.organization;
  }

  /** Whether there is anything to decide about this caller's request. */
  #decides(caller: Caller): boolean {
    return this.#auth.enabled || this.#isGuarded(caller);
  }

  /** @param next the value that is to be written to the one key of `range`; undefined for a deletion */
  #keys(caller: Caller, kind: Kind, range: KeyRange, next?: Uint8Array): void {
    if (this.#isGuarded(caller)) {
      if (kind === 'write') this.#guarded(caller, range, next);
      return;
    }
    const user = this.userOf(caller);
    if (user === undefined || this.#auth.isRoot(user)) return;
    if (this.#auth.permissionsOf(user)?.allow(kind, range) !== true) throw refusal('permissionDenied');
  }

  #guarded({ commonName = '', peer }: Caller, range: KeyRange, next: Uint8Array | undefined): void {
    const address = peer.slice(0, peer.lastIndexOf(':')).replace(/^\[|\]$|^::ffff:/g, '');
    const present = this.#keysIn(range);
    const touched = present.length === 0 && next !== undefined ? [undefined] : present;
    for (const current of touched) {
      const key = current?.key ?? range.start;
      if (this.#guard?.allows({ name: commonName, address, key, current, next }) !== true) {
        throw refusal('permissionDenied');
      }
    }
  }
}
