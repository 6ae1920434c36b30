/**
 * The cluster's registry of subnets, in the store below one prefix and in flannel's layout:
 *
 *     <prefix>/config                  the network's configuration, JSON           ConfigWatch
 *     <prefix>/subnets/10.5.34.0-24    a lease: which host has this subnet         Registry, LeaseHolder
 *                                      the leases of the others                    PeerTracker
 *
 * How an agent uses it:
 *
 *     const registry = new Registry(store, { prefix: '/coreos.com/network' });
 *     const watch = new ConfigWatch(registry);                          config-watch.ts
 *     const holder = new LeaseHolder(registry, { config, attributes }); lease-holder.ts
 *     const tracker = new PeerTracker(registry, { config, self });      peers.ts
 *     await Promise.all([watch, holder, tracker].map(part => part.run(signal)));
 *
 *     for await (const reading of watch.reading.changes(signal)) ...    a new configuration, or its problems
 *     for await (const { lease } of holder.state.changes(signal)) ...   our lease, as it comes and goes
 *     tracker.update({ ownKey: lease.key });                            which one is no peer's
 *     holder.update({ attributes });                                    publish a change to the peers
 *     for await (const { changed, removed } of tracker.changes(signal)) ...
 *
 * Writes never overwrite what they have not read: a key is created only where there is none, and changed or
 * deleted only at the revision that was read. An agent that was cut off cannot take its subnet back from the
 * host that got it meanwhile.
 */
import { posix } from 'node:path';
import type { KeyValue, Revision, Store, StoreLeaseId } from '../store/store.ts';
import { encodeAttributes } from './lease/attributes.ts';
import { formatLeaseKey } from './lease/key.ts';
import {
  decodeLease,
  isLease,
  isRejected,
  type Lease,
  type LeaseAttributes,
  type RejectedLease,
  type Subnet,
} from './lease/lease.ts';
import { type TakenBlock, takenBlocksOf } from './lease/taken-blocks.ts';

/** A day, as flannel: how long a host may be away before its subnet is given to another. */
const DEFAULT_TTL = 86_400;

export interface RegistryOptions {
  /** Root of the keys: `/coreos.com/network`. */
  readonly prefix: string;
  /** Seconds; a day unless given. */
  readonly ttl?: number;
}

/** Everything below `<prefix>/subnets` at one revision. */
export interface LeaseListing {
  readonly leases: readonly Lease[];
  readonly rejected: readonly RejectedLease[];
  readonly takenBlocks: readonly TakenBlock[];
  readonly revision: Revision;
}

/** What is taken, and some of the leases that took it. */
export type LeaseFindings = Pick<LeaseListing, 'leases' | 'takenBlocks' | 'revision'>;

/** What a write did, or what stood in its way: another host's lease, or nothing where one was expected. */
export type WriteResult =
  | { readonly ok: true; readonly lease: Lease }
  | { readonly ok: false; readonly found: Lease | RejectedLease | undefined };

export class Registry {
  readonly store: Store;
  readonly prefix: string;
  readonly configKey: string;
  /** Without a final slash: flannel watches this prefix, so that we see what flannel hosts see. */
  readonly subnetsPrefix: string;
  readonly ttl: number;

  constructor(store: Store, options: RegistryOptions) {
    this.store = store;
    this.prefix = options.prefix;
    this.configKey = posix.join(options.prefix, 'config');
    this.subnetsPrefix = posix.join(options.prefix, 'subnets');
    this.ttl = options.ttl ?? DEFAULT_TTL;
  }

  /** @throws StoreError, as every method here. */
  async list(): Promise<LeaseListing> {
    const { kvs, revision } = await this.store.list(this.subnetsPrefix);
    const read = kvs.map(kv => this.decode(kv));
    return {
      leases: read.filter(isLease),
      rejected: read.filter(isRejected),
      takenBlocks: kvs.flatMap(kv => takenBlocksOf(this.keyOf(kv.key), kv)),
      revision,
    };
  }

  /** Keeps of thousands of leases only those that are wanted. */
  async search(isWanted: (lease: Lease) => boolean): Promise<LeaseFindings> {
    const { kvs, revision } = await this.store.list(this.subnetsPrefix);
    const leases: Lease[] = [];
    const takenBlocks: TakenBlock[] = [];
    for (const kv of kvs) {
      const read = this.decode(kv);
      if (isLease(read) && isWanted(read)) leases.push(read);
      takenBlocks.push(...takenBlocksOf(this.keyOf(kv.key), kv));
    }
    return { leases, takenBlocks, revision };
  }

  /** What was taken after a revision (0n: ever), without reading what the leases say. */
  async takenAfter(revision: Revision): Promise<readonly TakenBlock[]> {
    const { kvs } = await this.store.list(this.subnetsPrefix, { createdAfter: revision });
    return kvs.flatMap(kv => takenBlocksOf(this.keyOf(kv.key), kv));
  }

  async get(key: string): Promise<Lease | RejectedLease | undefined> {
    const { kv } = await this.store.get(this.pathOf(key));
    return kv && this.decode(kv);
  }

  /** Makes a lease where there is none, and removes the host's own former ones in the same step. */
  async create(
    subnet: Subnet,
    attributes: LeaseAttributes,
    storeLease: StoreLeaseId,
    instead: readonly Lease[] = [],
  ): Promise<WriteResult> {
    const key = formatLeaseKey(subnet);
    const path = this.pathOf(key);
    const value = encodeAttributes(attributes);
    const { ok, revision, found } = await this.store.transact({
      compare: [
        { key: path, target: 'version', is: '=', operand: 0n },
        ...instead.flatMap(lease => this.#unchanged(lease)),
      ],
      success: [
        { op: 'put', key: path, value, lease: storeLease },
        ...instead.map(lease => ({ op: 'delete', key: this.pathOf(lease.key) }) as const),
      ],
      failure: [{ op: 'get', key: path }],
    });
    if (!ok) return this.#lost(found);
    const lease = { key, subnet, attributes, storeLease, createRevision: revision, modRevision: revision };
    return { ok, lease };
  }

  /** Changes value or store lease of a lease that is unchanged since it was read. */
  async replace(lease: Lease, attributes: LeaseAttributes, storeLease: StoreLeaseId): Promise<WriteResult> {
    const path = this.pathOf(lease.key);
    const { ok, revision, found } = await this.store.transact({
      compare: this.#unchanged(lease),
      success: [{ op: 'put', key: path, value: encodeAttributes(attributes), lease: storeLease }],
      failure: [{ op: 'get', key: path }],
    });
    return ok
      ? { ok, lease: { ...lease, attributes, storeLease, modRevision: revision } }
      : this.#lost(found);
  }

  /** Frees the subnet of a lease that is unchanged since it was read. */
  async remove(lease: Lease): Promise<WriteResult> {
    const path = this.pathOf(lease.key);
    const { ok, found } = await this.store.transact({
      compare: this.#unchanged(lease),
      success: [{ op: 'delete', key: path }],
      failure: [{ op: 'get', key: path }],
    });
    return ok ? { ok, lease } : this.#lost(found);
  }

  /** The full key in the store. */
  pathOf(key: string): string {
    return `${this.subnetsPrefix}/${key}`;
  }

  /** The lease's own part of a full key; the full key where that is not one of a lease. */
  keyOf(path: string): string {
    const directory = this.pathOf('');
    return path.startsWith(directory) ? path.slice(directory.length) : path;
  }

  decode(kv: KeyValue): Lease | RejectedLease {
    const key = this.keyOf(kv.key);
    if (key !== kv.key) return decodeLease(key, kv);
    const reason = `is beside ${this.pathOf('')} and not below it; flannel hosts may take it for a lease`;
    return { key, reason, createRevision: kv.createRevision, modRevision: kv.modRevision };
  }

  /** Both revisions: after a restore of the store one alone could be another host's by chance. */
  #unchanged({ key, modRevision, createRevision }: Lease) {
    const path = this.pathOf(key);
    return [
      { key: path, target: 'mod', is: '=', operand: modRevision },
      { key: path, target: 'create', is: '=', operand: createRevision },
    ] as const;
  }

  #lost(found: readonly (readonly KeyValue[])[]): WriteResult {
    const kv = found[0]?.[0];
    return { ok: false, found: kv && this.decode(kv) };
  }
}
