/**
 * The L2 networks of a cluster, in the store.
 *
 *     const registry = new SegmentRegistry(store, { prefix: '/coreos.com/network' });
 *     await addSegment(registry, { name: 'blue', subnets: ['10.9.0.0/16'] });   administration.ts
 *     const watch = new SegmentWatch(registry);                                    segment-watch.ts
 *     void watch.run(signal);
 *     for await (const { segments } of watch.changes(signal)) ...      the whole state, each time it is another
 *     await registry.join(segment, member, storeLease);                something is on this host's bridge
 *     await registry.claimEndpoints(segment, [endpoint], storeLease);  a container comes
 *
 * Writes of a host prove that they know the network (`createRevision`), so that none of them ends up below a network
 * that is deleted, or in a later one of the same name. Nothing of another host is ever overwritten.
 */
import { isCode, ParseError } from '../../base/errors.ts';
import type { Family, Ip } from '../../base/ip.ts';
import {
  type KeyValue,
  type Revision,
  type Store,
  StoreError,
  type StoreLeaseId,
  type Transaction,
  type TransactionResult,
  type TxnOperation,
} from '../../store/store.ts';
import { chooseRange } from './choose-range.ts';
import {
  nameOfHost,
  type Segment,
  type SegmentEndpoint,
  type SegmentHost,
  type SegmentMember,
  type SegmentRange,
  type SegmentSnapshot,
  type SegmentsSnapshot,
  type Stored,
} from './segment.ts';
import { SegmentError } from './segment-error.ts';
import { parseSegmentKey, type SegmentKey, SegmentKeys } from './segment-key.ts';
import { SegmentState } from './segment-state.ts';
import {
  decodeEndpoint,
  decodeSegmentRange,
  encodeEndpoint,
  encodeMember,
  encodeSegmentRange,
} from './segment-value.ts';

/** Attempts to write what another host changed at the same moment. */
const TRIES = 16;
/** etcd takes 128 operations; a claim needs two for each address. */
export const MOST_CLAIMS = 60;

export interface SegmentRegistryOptions {
  /** Root of the keys: `/coreos.com/network`. */
  readonly prefix: string;
  /** At least 0 and less than 1. */
  readonly random?: () => number;
}

/** Every method throws StoreError, and SegmentError as it says. */
export class SegmentRegistry {
  readonly store: Store;
  readonly keys: SegmentKeys;
  readonly prefix: string;
  readonly #random: () => number;

  constructor(store: Store, { prefix, random = Math.random }: SegmentRegistryOptions) {
    this.store = store;
    this.prefix = prefix;
    this.#random = random;
    this.keys = new SegmentKeys(prefix);
  }

  /** Everything there is now. */
  async list(): Promise<SegmentsSnapshot> {
    return this.#read(this.keys.directory);
  }

  /** @throws SegmentError NOT_FOUND */
  async get(name: string): Promise<SegmentSnapshot> {
    const { segments } = await this.#read(this.keys.of(name));
    const found = segments.get(name);
    if (found === undefined) throw notFound(name);
    return found;
  }

  /** Says that something is on this host's bridge, or other addresses. @throws SegmentError NOT_FOUND */
  async join(segment: Segment, member: SegmentMember, storeLease: StoreLeaseId): Promise<Revision> {
    const key = this.keys.member(segment.name, member.hostId);
    const { ok, revision } = await this.#transact({
      compare: [this.#isThis(segment)],
      success: [{ op: 'put', key, value: encodeMember(member), lease: storeLease }],
    });
    if (!ok) throw notFound(segment.name);
    return revision;
  }

  /** The opposite; what is not there is gone. */
  async leave({ name }: Segment, hostId: string): Promise<void> {
    await this.store.delete(this.keys.member(name, hostId));
  }

  /**
   * Takes addresses for containers of this host, all of them or none: those of one container, or of many after the
   * store was away (at most 60). What this host has already is written again.
   *
   * @throws SegmentError DUPLICATE_ADDRESS with the owner, NOT_FOUND
   */
  async claimEndpoints(
    segment: Segment,
    endpoints: readonly SegmentEndpoint[],
    storeLease: StoreLeaseId,
  ): Promise<Revision> {
    if (endpoints.length > MOST_CLAIMS) throw new RangeError(`${endpoints.length} claims at once`);
    let own: readonly KeyValue[] = [];
    for (let tries = 0; tries < TRIES; tries++) {
      const revisionOf = new Map(own.map(kv => [kv.key, kv.modRevision]));
      const puts = endpoints.map(endpoint => ({
        op: 'put' as const,
        key: this.keys.endpoint(segment.name, endpoint.ip),
        value: encodeEndpoint(endpoint),
        lease: storeLease,
      }));
      const { ok, revision, found } = await this.#transact({
        compare: [
          this.#isThis(segment),
          ...puts.map(({ key }) => ({
            key,
            target: 'mod' as const,
            is: '=' as const,
            operand: revisionOf.get(key) ?? 0n,
          })),
        ],
        success: puts,
        failure: [this.#getConfig(segment), ...puts.map(({ key }) => ({ op: 'get' as const, key }))],
      });
      if (ok) return revision;
      const [config, ...present] = found;
      if (config?.[0]?.createRevision !== segment.createRevision) throw notFound(segment.name);
      own = present.flatMap(([kv], at) => {
        const endpoint = endpoints[at];
        if (kv === undefined || endpoint === undefined) return [];
        return [ownOrThrow(segment, endpoint, kv)];
      });
    }
    throw contended(segment);
  }

  /** Frees addresses of this host; those of another stay. */
  async releaseEndpoints({ name }: Segment, ips: readonly Ip[], hostId: string): Promise<void> {
    await Promise.all(
      ips.map(ip =>
        this.#deleteOwn(this.keys.endpoint(name, ip), value => decodeEndpoint(ip, value).hostId === hostId),
      ),
    );
  }

  /**
   * Leases one more range of the subnet of a family. A host keeps its ranges in mind, and finds them in the store
   * (`rangesOfHost`): this is for when it has none, or those are full.
   *
   * @throws SegmentError EXHAUSTED_RANGES, NOT_FOUND
   */
  async leaseRange(
    segment: Segment,
    family: Family,
    host: SegmentHost & Pick<SegmentRange, 'machine'>,
  ): Promise<Stored<SegmentRange>> {
    let wasTaken = false;
    for (let tries = 0; tries < TRIES; tries++) {
      const { kvs } = await this.store.list(this.keys.of(segment.name));
      const keys = keysOfOthers(this.keys, kvs, host.hostId);
      const block = chooseRange(segment, family, keys, wasTaken ? this.#random : () => 0);
      const key = this.keys.range(segment.name, block);
      const { ok, revision, found } = await this.#transact({
        compare: [this.#isThis(segment), { key, target: 'version', is: '=', operand: 0n }],
        success: [{ op: 'put', key, value: encodeSegmentRange({ ...host, block }) }],
        failure: [this.#getConfig(segment)],
      });
      if (ok) return { ...host, block, storeLease: 0n, createRevision: revision, modRevision: revision };
      if (found[0]?.[0]?.createRevision !== segment.createRevision) throw notFound(segment.name);
      wasTaken = true;
    }
    throw contended(segment);
  }

  /** Takes a range again that this host had and the store does not know. Undefined when another host has it. */
  async reclaimRange(segment: Segment, range: SegmentRange): Promise<Revision | undefined> {
    const key = this.keys.range(segment.name, range.block);
    const { ok, revision, found } = await this.#transact({
      compare: [this.#isThis(segment), { key, target: 'version', is: '=', operand: 0n }],
      success: [{ op: 'put', key, value: encodeSegmentRange(range) }],
      failure: [this.#getConfig(segment), { op: 'get', key }],
    });
    if (ok) return revision;
    const [config, present] = found;
    if (config?.[0]?.createRevision !== segment.createRevision) throw notFound(segment.name);
    const [kv] = present ?? [];
    const isOwn = kv !== undefined && decodeSegmentRange(range.block, kv.value).hostId === range.hostId;
    return isOwn ? kv.modRevision : undefined;
  }

  /** Gives a range back, unless it is another host's by now. */
  async releaseRange({ name }: Segment, { block, hostId }: SegmentRange): Promise<void> {
    const key = this.keys.range(name, block);
    await this.#deleteOwn(key, value => decodeSegmentRange(block, value).hostId === hostId);
  }

  /**
   * A store that knows hosts by their certificates refuses a write to the key of another before it compares. Whether that is
   * what happened shows when it compares and writes nothing.
   */
  async #transact(transaction: Transaction): Promise<TransactionResult> {
    try {
      return await this.store.transact(transaction);
    } catch (error) {
      if (!isCode(error, 'FORBIDDEN')) throw error;
      const result = await this.store.transact({ ...transaction, success: [] });
      if (result.ok) throw error;
      return result;
    }
  }

  async #read(directory: string): Promise<SegmentsSnapshot> {
    const { kvs, revision } = await this.store.list(directory);
    const state = new SegmentState(this.keys);
    state.replace(kvs, { revision });
    return state.snapshot();
  }

  /** Deletes a key that is unchanged since it was found to be this host's. */
  async #deleteOwn(key: string, isOwn: (value: Uint8Array) => boolean): Promise<void> {
    for (let tries = 0; tries < TRIES; tries++) {
      const { kv } = await this.store.get(key);
      if (kv === undefined || !isOwn(kv.value)) return;
      const { ok } = await this.store.transact({
        compare: [{ key, target: 'mod', is: '=', operand: kv.modRevision }],
        success: [{ op: 'delete', key }],
      });
      if (ok) return;
    }
  }

  /** Neither deleted nor made again since it was read. */
  #isThis({ name, createRevision }: Segment) {
    return { key: this.keys.config(name), target: 'create', is: '=', operand: createRevision } as const;
  }

  #getConfig({ name }: Segment): TxnOperation {
    return { op: 'get', key: this.keys.config(name) };
  }
}

/**
 * What may be written again: what this host has, which knows itself who of its containers has it, and what nobody can read.
 * @throws SegmentError DUPLICATE_ADDRESS
 */
function ownOrThrow(segment: Segment, { ip, hostId }: SegmentEndpoint, kv: KeyValue): KeyValue {
  const owner = ownerIn(ip, kv.value);
  if (owner === undefined || owner.hostId === hostId) return kv;
  throw duplicateAddress(segment.name, owner);
}

export function duplicateAddress(name: string, owner: SegmentEndpoint): SegmentError {
  const { ip, container } = owner;
  const message = `${ip} in the network ${name} is the address of ${container} on ${nameOfHost(owner)}`;
  return new SegmentError('DUPLICATE_ADDRESS', message, {
    hint: 'give another address, or none to get a free one',
    context: { segment: name, ip: `${ip}` },
    owner,
  });
}

function ownerIn(ip: Ip, value: Uint8Array): SegmentEndpoint | undefined {
  try {
    return decodeEndpoint(ip, value);
  } catch (error) {
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}

/** All but the addresses of this host. */
function keysOfOthers(keys: SegmentKeys, kvs: readonly KeyValue[], hostId: string): readonly SegmentKey[] {
  return kvs.flatMap(({ key, value }) => {
    const parsed = parseSegmentKey(keys.below(key) ?? '');
    const isOwn = parsed?.kind === 'endpoint' && ownerIn(parsed.ip, value)?.hostId === hostId;
    return parsed === undefined || isOwn ? [] : [parsed];
  });
}

export const notFound = (name: string) =>
  new SegmentError('NOT_FOUND', `there is no network ${name}`, { hint: 'see tulle network list' });

const contended = ({ name }: Segment) =>
  new StoreError('UNAVAILABLE', `other hosts keep changing the network ${name}`);
