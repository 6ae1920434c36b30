/** What restricted callers may do. Each refusal has a reason: the caller is an agent, and a person reads its log. */
import type {
  DeleteRangeRequest,
  PutRequest,
  RequestOp,
  TxnRequest,
} from '../../store/wire/generated/kv_pb.ts';
import { denial, refusal } from '../errors.ts';
import type { Lessor } from '../lease/lessor.ts';
import type { Caller } from '../rpc.ts';
import type { Kv } from '../sqlite/tables.ts';
import type { Authorizer, ProposedWrite } from './authorizer.ts';

export interface GuardedAccessOptions {
  readonly authorizer: Authorizer;
  readonly lessor: Pick<Lessor, 'has' | 'ownerOf' | 'countOf'>;
  readonly keysOfLease: (lease: bigint) => Uint8Array[];
  readonly get: (key: Uint8Array) => Kv | undefined;
}

export class RestrictedAccess {
  readonly #options: GuardedAccessOptions;

  constructor(options: GuardedAccessOptions) {
    this.#options = options;
  }

  /** Whether this caller is restricted. */
  concerns({ organization }: Caller): boolean {
    return organization === this.#options.authorizer.organization;
  }

  /** @throws RpcError, as all here */
  put(caller: Caller, request: PutRequest): void {
    this.#check(caller, [this.#writeOf(request)]);
    this.#checkAttachment(caller, request);
  }

  deleteRange(caller: Caller, request: DeleteRangeRequest): void {
    this.#check(caller, [deletionOf(request)]);
  }

  /** Both halves, whichever will run. */
  txn(caller: Caller, { success, failure }: TxnRequest): void {
    for (const ops of [success, failure]) {
      const writes = ops.flatMap(op => this.#writesOf(op));
      if (writes.length > 0) this.#check(caller, writes);
      for (const { request } of ops) {
        if (request.case === 'requestPut') this.#checkAttachment(caller, request.value);
      }
    }
  }

  /** @returns whose the new lease is */
  grant(caller: Caller, ttl: bigint): string {
    const { authorizer, lessor } = this.#options;
    const { most, longest } = authorizer.storeLeases;
    const name = nameOf(caller);
    if (ttl > longest) throw denial(`a host can have a store lease of ${longest} seconds at most`);
    if (lessor.countOf(name) >= most) {
      throw denial(
        `this host has ${most} store leases already; those that it does not renew end by themselves`,
      );
    }
    return name;
  }

  /** Whether the caller may keep alive, use and revoke this lease. One that is not there refuses itself. */
  lease(caller: Caller, id: bigint): void {
    const { authorizer, lessor, keysOfLease } = this.#options;
    if (!lessor.has(id)) return;
    const name = nameOf(caller);
    const owner = lessor.ownerOf(id);
    if (owner === name) return;
    // Granted by an administrator, or before owners were written down: it belongs to whom all its keys belong.
    const keys = owner === undefined ? keysOfLease(id) : [];
    if (keys.length > 0 && keys.every(key => authorizer.owns(name, key))) return;
    throw denial(`the store lease ${id.toString(16)} is not of this host`);
  }

  #check(caller: Caller, writes: readonly ProposedWrite[]): void {
    const { peer } = caller;
    const address = peer.slice(0, peer.lastIndexOf(':')).replace(/^\[|\]$|^::ffff:/g, '');
    const reason = this.#options.authorizer.refuses({ name: nameOf(caller), address }, writes);
    if (reason !== undefined) throw denial(reason);
  }

  #checkAttachment(caller: Caller, request: PutRequest): void {
    // Attaching a key to a lease also decides when the lease's other keys are deleted: it takes the right to write them.
    if (!request.ignoreLease && request.lease !== 0n) this.lease(caller, request.lease);
  }

  #writesOf({ request }: RequestOp): ProposedWrite[] {
    if (request.case === 'requestPut') return [this.#writeOf(request.value)];
    if (request.case === 'requestDeleteRange') return [deletionOf(request.value)];
    if (request.case === 'requestTxn') throw denial('a host cannot nest transactions');
    return [];
  }

  #writeOf({ key, value, lease, ignoreValue, ignoreLease }: PutRequest): ProposedWrite {
    const present = ignoreValue || ignoreLease ? this.#options.get(key) : undefined;
    if (present === undefined) {
      if (ignoreValue || ignoreLease) throw refusal('keyNotFound');
      return { key, next: { value, lease } };
    }
    const next = { value: ignoreValue ? present.value : value, lease: ignoreLease ? present.lease : lease };
    return { key, next };
  }
}

function deletionOf({ key, rangeEnd }: DeleteRangeRequest): ProposedWrite {
  if (rangeEnd.byteLength > 0) throw denial('a host can delete only one key per request');
  return { key, next: undefined };
}

const nameOf = ({ commonName = '' }: Caller) => commonName;
