/** The Store over an etcd v3 cluster, or anything that speaks its protocol. */
import { type Clock, systemClock } from '../../base/clock.ts';
import { ConfigError, type Problem } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import {
  type ClusterStatus,
  type KeyValue,
  type Revision,
  type Store,
  StoreError,
  type StoreLeaseId,
  type StoreUpdate,
  type Transaction,
  type TransactionResult,
} from '../store.ts';
import { KV, type ResponseOp } from '../wire/generated/kv_pb.ts';
import { Lease } from '../wire/generated/lease_pb.ts';
import { Maintenance } from '../wire/generated/maintenance_pb.ts';
import type { Timing } from './channel.ts';
import { EtcdClient } from './client.ts';
import {
  decodeHeader,
  decodeKeyValue,
  encodeCompare,
  encodeKey,
  encodeOperation,
  prefixRange,
  protocolViolation,
} from './codec.ts';
import { type EtcdEndpoint, parseEndpoints } from './endpoint.ts';
import type { User } from './login.ts';
import { observe } from './observation.ts';
import { listRange } from './range.ts';
import { checkTls, type TlsOptions } from './tls.ts';

export interface EtcdOptions {
  /** `http://HOST:PORT`, `https://HOST:PORT` or `unix:///PATH`; the first that works is used. */
  readonly endpoints: readonly string[];
  readonly tls?: TlsOptions;
  readonly user?: User;
  readonly logger?: Logger;
  readonly clock?: Clock;
  readonly timing?: Partial<Timing>;
}

/** A call that only reads, or whose second run changes nothing. */
const REPEATABLE = { repeatable: true };
const ONCE = { repeatable: false };

export class EtcdStore implements Store {
  readonly #client: EtcdClient;
  readonly #clock: Clock;

  /** Connects when first used. @throws ConfigError with everything that is wrong with the options */
  constructor({ clock = systemClock, ...options }: EtcdOptions) {
    this.#client = new EtcdClient({ ...options, endpoints: check(options) });
    this.#clock = clock;
  }

  async get(key: string): Promise<{ readonly kv: KeyValue | undefined; readonly revision: Revision }> {
    const response = await this.#client.unary(KV.method.range, { key: encodeKey(key) }, REPEATABLE);
    const [kv] = response.kvs;
    const { revision } = decodeHeader(response.header, 'range');
    return { kv: kv && decodeKeyValue(kv, 'range'), revision };
  }

  async list(
    prefix: string,
    { createdAfter = 0n }: { readonly createdAfter?: Revision } = {},
  ): Promise<{ readonly kvs: readonly KeyValue[]; readonly revision: Revision }> {
    const range = {
      ...prefixRange(prefix),
      ...(createdAfter > 0n && { minCreateRevision: createdAfter + 1n }),
    };
    const { kvs, header } = await listRange(this.#client, range);
    return { kvs, revision: header.revision };
  }

  async put(
    key: string,
    value: Uint8Array,
    { lease = 0n }: { readonly lease?: StoreLeaseId } = {},
  ): Promise<Revision> {
    const response = await this.#client.unary(KV.method.put, { key: encodeKey(key), value, lease }, ONCE);
    return decodeHeader(response.header, 'put').revision;
  }

  async delete(key: string): Promise<boolean> {
    const { deleted } = await this.#client.unary(KV.method.deleteRange, { key: encodeKey(key) }, ONCE);
    return deleted > 0n;
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    const { compare, success, failure = [] } = transaction;
    const request = {
      compare: compare.map(encodeCompare),
      success: success.map(encodeOperation),
      failure: failure.map(encodeOperation),
    };
    const writes = [...success, ...failure].some(({ op }) => op === 'put' || op === 'delete');
    const response = await this.#client.unary(KV.method.txn, request, { repeatable: !writes });
    const ran = response.succeeded ? success : failure;
    if (response.responses.length !== ran.length) throw protocolViolation('txn', 'another number of results');
    const found = ran.flatMap(({ op }, index) =>
      op === 'get' || op === 'list' ? [decodeFound(response.responses[index])] : [],
    );
    return { ok: response.succeeded, revision: decodeHeader(response.header, 'txn').revision, found };
  }

  observe(
    prefix: string,
    options: { readonly signal: AbortSignal; readonly exact?: boolean },
  ): AsyncIterable<StoreUpdate> {
    const range = options.exact === true ? { key: encodeKey(prefix) } : prefixRange(prefix);
    return observe(this.#client, range, { signal: options.signal, clock: this.#clock });
  }

  /** A grant whose answer was lost is asked for again: a lease without keys ends by itself. */
  async grant(ttl: number): Promise<{ readonly id: StoreLeaseId; readonly ttl: number }> {
    const response = await this.#client.unary(
      Lease.method.leaseGrant,
      { TTL: BigInt(Math.ceil(ttl)) },
      REPEATABLE,
    );
    if (response.error !== '' || response.ID === 0n)
      throw protocolViolation('grant', 'a lease without an id');
    return { id: response.ID, ttl: Number(response.TTL) };
  }

  async keepAlive(id: StoreLeaseId): Promise<number | undefined> {
    const response = await this.#client.exchange(Lease.method.leaseKeepAlive, { ID: id }, REPEATABLE);
    if (response.ID !== id) throw protocolViolation('keep-alive', 'the state of another lease');
    return response.TTL > 0n ? Number(response.TTL) : undefined;
  }

  async revoke(id: StoreLeaseId): Promise<void> {
    try {
      await this.#client.unary(Lease.method.leaseRevoke, { ID: id }, REPEATABLE);
    } catch (error) {
      if (!(error instanceof StoreError && error.code === 'LEASE_LOST')) throw error;
    }
  }

  async timeToLive(
    id: StoreLeaseId,
  ): Promise<{ readonly remaining: number; readonly granted: number } | undefined> {
    const response = await this.#client.unary(Lease.method.leaseTimeToLive, { ID: id }, REPEATABLE);
    if (response.TTL < 0n) return undefined;
    return { remaining: Number(response.TTL), granted: Number(response.grantedTTL) };
  }

  /** Forgets every state before `revision`, for all clients. */
  async compact(revision: Revision): Promise<void> {
    await this.#client.unary(KV.method.compact, { revision, physical: true }, ONCE);
  }

  /** Answered by one member, even when the cluster has no leader. */
  async status(): Promise<ClusterStatus> {
    const policy = { repeatable: true, leaderless: true };
    const response = await this.#client.unary(Maintenance.method.status, {}, policy);
    const { clusterId, revision } = decodeHeader(response.header, 'status');
    return {
      endpoint: this.#client.endpoint,
      version: response.version,
      clusterId,
      revision,
      leaderless: response.leader === 0n,
      databaseSize: response.dbSize,
      alarms: response.errors.flatMap(text => /\balarm:(\w+)/.exec(text)?.[1] ?? []),
    };
  }

  /** Gives up a connection from an address that this host has no more, which would only be noticed by a ping. */
  leaveAddress(isGone: (address: string) => boolean): void {
    this.#client.leaveAddress(isGone);
  }

  /** Ends every call and observation. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
  }
}

function decodeFound(result: ResponseOp | undefined): KeyValue[] {
  if (result?.response.case !== 'responseRange') throw protocolViolation('txn', 'another kind of result');
  return result.response.value.kvs.map(kv => decodeKeyValue(kv, 'txn'));
}

function check({ endpoints, tls, user }: EtcdOptions): readonly EtcdEndpoint[] {
  const problems: Problem[] = [];
  let parsed: readonly EtcdEndpoint[] = [];
  try {
    parsed = parseEndpoints(endpoints, tls?.caFile !== undefined || tls?.certFile !== undefined);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
  }
  // Without TLS its files are not read. An endpoint that is none may be meant to be https.
  const needsTls = problems.length > 0 || parsed.some(({ secure }) => secure);
  if (tls !== undefined && needsTls) problems.push(...checkTls(tls));
  if (user?.name === '') problems.push({ path: 'user.name', message: 'must not be empty' });
  if (problems.length > 0) throw new ConfigError('etcd client', problems);
  return parsed;
}
