/**
 * Which leases are peers of this host. It gets every key below `<prefix>/subnets`, keeps the valid ones and says why
 * the others are not used:
 *
 * - A malformed value removes no peer: while a key is there, its last good value stays in use. A peer ends with
 *   its key, or with a configuration that it does not fit.
 * - Of two leases that overlap, the older one is right, on every host alike; our own is right for us. The same holds
 *   for two that name one VTEP MAC address at two public addresses, by when they first named it.
 * - A lease with our id is ours and no peer, unless another machine wrote it (`isDuplicateIdentity`). Until we have
 *   one, a lease with our address may be the one we take over.
 * - A value that says the same again (flannel's daily renewals are puts) is no change.
 * - A store that was emptied or restored has not ended any lease: peers that it forgot are kept until their hosts
 *   write their leases again, or another host gets a part of the subnet.
 */
import type { Ip } from '../../base/ip.ts';
import {
  addressesOf,
  blocksOf,
  isLease,
  isReservation,
  isSameValue,
  type Lease,
  leadToOneDevice,
  type RejectedLease,
} from '../lease/lease.ts';
import { checkLease } from '../lease/lease-check.ts';
import {
  compareAge,
  hadVtepsBefore,
  isDuplicateIdentity,
  isOfSelf,
  isOlder,
  type PeerChanges,
  type PeerEntry,
  type PeerEvent,
  type Self,
} from './peer-entry.ts';
import { PeerIndex, type SharedAddress, SharedAddresses, type VtepMacsOf } from './peer-index.ts';

export class PeerSet {
  readonly #report: (event: PeerEvent) => void;
  readonly #entries = new Map<string, PeerEntry>();
  /** Of all active leases. */
  readonly #index: PeerIndex;
  /** Good leases that wait for an older one, which is in their way, to end. */
  readonly #blocked = new Set<PeerEntry>();
  /** Peers that the store has forgotten. */
  readonly #kept = new Set<PeerEntry>();
  #changes = new Map<string, Lease | undefined>();
  #context: Self;

  constructor(context: Self, report: (event: PeerEvent) => void, vtepMacsOf: VtepMacsOf = () => []) {
    this.#context = context;
    this.#report = report;
    const addresses = new SharedAddresses(shared => report({ type: 'shared-address', ...shared }));
    this.#index = new PeerIndex(addresses, vtepMacsOf);
  }

  *peers(): Generator<Lease, void> {
    for (const { active, isOwn } of this.#entries.values()) if (active !== undefined && !isOwn) yield active;
  }

  /** Keys whose present value is not in use. */
  *rejected(): Generator<RejectedLease, void> {
    for (const { key, latest, reason } of this.#entries.values()) {
      if (reason === undefined) continue;
      const { createRevision, modRevision } = latest;
      yield { key, reason, createRevision, modRevision };
    }
  }

  /** Keys of peers that the store has forgotten. */
  *kept(): Generator<string, void> {
    for (const { key } of this.#kept) yield key;
  }

  /** Public addresses that more than one peer has. */
  sharedAddresses(): Iterable<SharedAddress> {
    return this.#index.addresses;
  }

  /** Leases of others that publish an address of this host: one of the two gets the other's packets. */
  *leasesAtOwnAddress(): Generator<{ readonly address: Ip; readonly key: string }, void> {
    if (this.#context.ownKey === undefined) return;
    for (const { key, latest } of this.#entries.values()) {
      if (!isLease(latest) || this.#isOwn(latest) || isUnclaimed(latest)) continue;
      const address = this.#ownAddressOf(latest);
      if (address !== undefined) yield { address, key };
    }
  }

  /** Leases that another machine wrote under the id of this host. */
  *duplicateIdentities(): Generator<Lease, void> {
    for (const { latest } of this.#entries.values())
      if (isLease(latest) && isDuplicateIdentity(latest, this.#context)) yield latest;
  }

  /** What is different since the last call. */
  take(): PeerChanges {
    const changes = [...this.#changes];
    this.#changes = new Map();
    return {
      changed: changes.map(([, lease]) => lease).filter(lease => lease !== undefined),
      removed: changes.filter(([, lease]) => lease === undefined).map(([key]) => key),
    };
  }

  put(latest: Lease | RejectedLease): void {
    const { key, createRevision, modRevision } = latest;
    const entry = this.#entries.get(key) ?? { key, latest, isOwn: false, vtepsSince: createRevision };
    const { active } = entry;
    if (active !== undefined && isLease(latest) && !this.#index.nameSameVteps(active, latest)) {
      entry.vtepsSince = modRevision;
    }
    entry.latest = latest;
    this.#entries.set(key, entry);
    this.#kept.delete(entry);
    this.#evaluate(entry);
    if (isLease(latest)) this.#forgetFormer(latest);
    this.#retryBlocked();
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#forget(entry);
    this.#retryBlocked();
  }

  /**
   * Everything there is; what is not among it is gone.
   *
   * @param options `unrelated` when the store has lost its history: what is not among it stays.
   */
  replace(
    all: readonly (Lease | RejectedLease)[],
    { unrelated = false }: { readonly unrelated?: boolean | undefined } = {},
  ): void {
    const keys = new Set(all.map(({ key }) => key));
    for (const [key, entry] of this.#entries) {
      if (keys.has(key)) continue;
      if (this.#kept.has(entry)) continue;
      if (unrelated && entry.active !== undefined && !entry.isOwn) this.#kept.add(entry);
      else this.delete(key);
    }
    for (const each of all) this.put(each);
  }

  /** Peers that the store has forgotten are gone from now on. */
  forgetKept(): void {
    for (const entry of this.#kept) this.#forget(entry);
    this.#retryBlocked();
  }

  /** Another configuration or identity: everything is judged anew. */
  judge(context: Self): void {
    this.#context = context;
    for (const entry of this.#entries.values()) this.#evaluate(entry);
    this.#retryBlocked();
  }

  #evaluate(entry: PeerEntry): void {
    this.#blocked.delete(entry);
    const { latest, good } = entry;
    const first = this.#check(latest);
    const second = good === undefined || good === latest ? undefined : this.#check(good);
    const wanted = isLease(first) ? first : isLease(second) ? second : undefined;
    if (isLease(first)) entry.good = latest as Lease;

    const own = wanted !== undefined && this.#isOwn(wanted);
    if (own !== entry.isOwn) this.#deactivate(entry);
    entry.isOwn = own;
    const obstacle = wanted && this.#obstacle(entry, wanted);
    if (wanted === undefined || obstacle !== undefined) this.#deactivate(entry);
    else this.#activate(entry, wanted);
    if (obstacle !== undefined) this.#blocked.add(entry);
    if (isLease(first)) this.#setReason(entry, obstacle);
    else if (entry.key !== this.#context.ownKey && !this.#mayBecomeOwn(latest))
      this.#setReason(entry, first.reason);
  }

  #check(lease: Lease | RejectedLease): Lease | RejectedLease {
    if (!isLease(lease) || this.#isOwn(lease)) return lease;
    const { config, self } = this.#context;
    return checkLease(lease, { config, ownAddresses: addressesOf(self) });
  }

  #isOwn(lease: Lease): boolean {
    return isOfSelf(lease, this.#context);
  }

  #mayBecomeOwn(lease: Lease | RejectedLease): boolean {
    return this.#context.ownKey === undefined && isLease(lease) && this.#ownAddressOf(lease) !== undefined;
  }

  #ownAddressOf(lease: Lease): Ip | undefined {
    const own = addressesOf(this.#context.self);
    return addressesOf(lease.attributes).find(ip => own.some(ours => ours.equals(ip)));
  }

  /** Why this lease may not become active beside those that are; younger ones have to make room. */
  #obstacle(entry: PeerEntry, lease: Lease): string | undefined {
    const overlapping = this.#index.overlapping(entry, lease);
    const sameVteps = this.#index.atVtepsOf(entry, lease);
    const owner = overlapping.find(other => this.#yields(entry, other, isOlder(other, lease)));
    if (owner?.isOwn) return `overlaps this host's own subnet ${owner.key}`;
    if (owner !== undefined) return `overlaps ${owner.key}, which is older`;
    const sameVtep = sameVteps.find(other => this.#yields(entry, other, hadVtepsBefore(other, entry)));
    if (sameVtep?.isOwn) return 'names the VTEP MAC address of this host, at another public address';
    if (sameVtep !== undefined)
      return `names the VTEP MAC address of ${sameVtep.key}, which had it before, at another public address`;
    for (const other of new Set([...overlapping, ...sameVteps])) {
      if (this.#kept.has(other)) this.#forget(other);
      else {
        this.#deactivate(other);
        this.#blocked.add(other);
      }
    }
    return undefined;
  }

  /** Whether an entry has to make room for another that wants the same. */
  #yields(entry: PeerEntry, other: PeerEntry, isOtherFirst: boolean): boolean {
    if (other.isOwn !== entry.isOwn) return other.isOwn;
    // Revisions of different stores say nothing about age.
    const [isOtherKept, isKept] = [this.#kept.has(other), this.#kept.has(entry)];
    return isOtherKept === isKept ? isOtherFirst : isKept;
  }

  /** A host whose lease was forgotten has another one now, perhaps under another id. */
  #forgetFormer({ key, attributes }: Lease): void {
    if (this.#kept.size === 0) return;
    const { hostId, ...published } = attributes;
    const former = [...this.#kept].filter(({ active }) => {
      return hostId !== undefined && active?.attributes.hostId === hostId;
    });
    // By the index of addresses: devices are compared byte for byte, and there may be many.
    for (const address of addressesOf(attributes)) {
      for (const other of this.#index.addresses.keysOf(address)) {
        const entry = this.#entries.get(other);
        if (entry?.active === undefined || !this.#kept.has(entry)) continue;
        if (leadToOneDevice(entry.active.attributes, published)) former.push(entry);
      }
    }
    for (const entry of former) if (entry.key !== key) this.#forget(entry);
  }

  #forget(entry: PeerEntry): void {
    this.#entries.delete(entry.key);
    this.#blocked.delete(entry);
    this.#kept.delete(entry);
    this.#deactivate(entry);
    if (entry.reason !== undefined) this.#report({ type: 'withdrawn', key: entry.key });
  }

  /** Those that had to wait, oldest first, until none of them finds room. */
  #retryBlocked(): void {
    for (let progress = true; progress && this.#blocked.size > 0; ) {
      progress = false;
      const waiting = [...this.#blocked].sort((a, b) => compareAge(a, b));
      for (const entry of waiting) {
        this.#evaluate(entry);
        progress ||= !this.#blocked.has(entry);
      }
    }
  }

  #activate(entry: PeerEntry, lease: Lease): void {
    const before = entry.active;
    const same =
      before === lease ||
      (before?.createRevision === lease.createRevision &&
        blocksOf(before.subnet).join() === blocksOf(lease.subnet).join() &&
        isSameValue(before.attributes, lease.attributes));
    if (same) return;
    if (before !== undefined) this.#index.leave(entry, before);
    entry.active = lease;
    this.#index.enter(entry, lease);
    if (!entry.isOwn) this.#changes.set(entry.key, lease);
  }

  #deactivate(entry: PeerEntry): void {
    if (entry.active === undefined) return;
    this.#index.leave(entry, entry.active);
    delete entry.active;
    if (!entry.isOwn) this.#changes.set(entry.key, undefined);
  }

  #setReason(entry: PeerEntry, reason: string | undefined): void {
    const before = entry.reason;
    if (reason === before) return;
    if (reason === undefined) delete entry.reason;
    else entry.reason = reason;
    if (reason !== undefined) this.#report({ type: 'rejected', key: entry.key, reason });
    else this.#report({ type: 'accepted', key: entry.key });
  }
}

/** A reservation that no host has taken: its address is where packets would go, but no host receives them there. */
const isUnclaimed = (lease: Lease) => isReservation(lease) && lease.attributes.hostId === undefined;
