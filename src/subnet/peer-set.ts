/**
 * Which leases are peers of this host. Told about every key below `<prefix>/subnets`, it keeps the good ones and
 * says why the others are not:
 *
 * - Nothing malformed removes anybody: while a key is there, the last good value it had stays in use. Only the
 *   end of the key, or a configuration it does not fit, ends a peer.
 * - Of two leases that overlap the older one is right, on every host alike; our own is right for us.
 * - A lease with our id is ours and no peer.
 * - A value that says the same again (flannel's daily renewals are puts) is no change.
 * - A store that was emptied or set back has not ended any lease: peers that it forgot are kept until their hosts
 *   write their leases again, here or elsewhere, or somebody else gets a part of the subnet.
 */
import { bytesEqual } from '../base/bytes.ts';
import type { Ip } from '../base/ip.ts';
import { encodeAttributes } from './attributes.ts';
import { BlockMap } from './block-map.ts';
import { blocksOf, isLease, type Lease, leadToOneDevice, type RejectedLease } from './lease.ts';
import { checkLease } from './lease-check.ts';
import { addressesOf, compareAge, isOlder, type PeerEntry } from './peer-entry.ts';
import type { PeerChanges, PeerEvent, Self } from './peer-event.ts';
import { type SharedAddress, SharedAddresses } from './shared-addresses.ts';

export class PeerSet {
  readonly #report: (event: PeerEvent) => void;
  readonly #entries = new Map<string, PeerEntry>();
  /** The blocks of all active leases; they do not overlap. */
  readonly #blocks = new BlockMap<PeerEntry>();
  /** Good leases that wait for an older one, which they overlap, to end. */
  readonly #blocked = new Set<PeerEntry>();
  /** Peers that the store has forgotten. */
  readonly #kept = new Set<PeerEntry>();
  readonly #addresses: SharedAddresses;
  #changes = new Map<string, Lease | undefined>();
  #context: Self;

  constructor(context: Self, report: (event: PeerEvent) => void) {
    this.#context = context;
    this.#report = report;
    this.#addresses = new SharedAddresses(shared => report({ type: 'shared-address', ...shared }));
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
    return this.#addresses;
  }

  /** Leases of others that publish an address of this host: one of the two gets the other's packets. */
  *claimsOfOwnAddress(): Generator<{ readonly address: Ip; readonly key: string }, void> {
    const { self } = this.#context;
    for (const { key, latest } of this.#entries.values()) {
      if (!isLease(latest) || latest.attributes.hostId === self.hostId) continue;
      const { publicIp, publicIpv6 } = latest.attributes;
      const address = [publicIp, publicIpv6].find(
        ip => ip !== undefined && (ip.equals(self.publicIp) || ip.equals(self.publicIpv6)),
      );
      if (address !== undefined) yield { address, key };
    }
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
    const { key } = latest;
    const entry = this.#entries.get(key) ?? { key, latest, isOwn: false };
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
   * @param options `unrelated` when the store is not the one that was told of before: what is not among it stays.
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

    const own = wanted !== undefined && wanted.attributes.hostId === this.#context.self.hostId;
    if (own !== entry.isOwn) this.#deactivate(entry);
    entry.isOwn = own;
    const obstacle = wanted && this.#obstacle(entry, wanted);
    if (wanted === undefined || obstacle !== undefined) this.#deactivate(entry);
    else this.#activate(entry, wanted);
    if (obstacle !== undefined) this.#blocked.add(entry);
    this.#tell(entry, isLease(first) ? obstacle : first.reason);
  }

  #check(lease: Lease | RejectedLease): Lease | RejectedLease {
    const { config, self } = this.#context;
    if (!isLease(lease) || lease.attributes.hostId === self.hostId) return lease;
    const ownAddresses = [self.publicIp, self.publicIpv6].filter(ip => ip !== undefined);
    return checkLease(lease, { config, ownAddresses });
  }

  /** Why this lease may not become active beside those that are; younger ones have to make room. */
  #obstacle(entry: PeerEntry, lease: Lease): string | undefined {
    const others = blocksOf(lease.subnet)
      .flatMap(block => this.#blocks.overlaps(block))
      .map(({ value }) => value)
      .filter(other => other !== entry);
    const stronger = others.find(other => {
      if (other.isOwn !== entry.isOwn) return other.isOwn;
      // Revisions of different stores say nothing about age.
      const [isOtherKept, isKept] = [this.#kept.has(other), this.#kept.has(entry)];
      return isOtherKept === isKept ? isOlder(other, lease) : isKept;
    });
    if (stronger === undefined) {
      for (const other of new Set(others)) {
        if (this.#kept.has(other)) this.#forget(other);
        else {
          this.#deactivate(other);
          this.#blocked.add(other);
        }
      }
      return undefined;
    }
    return stronger.isOwn
      ? `overlaps this host's own subnet ${stronger.key}`
      : `overlaps ${stronger.key}, which is older`;
  }

  /** A host whose lease was forgotten has another one now, perhaps under another id. */
  #forgetFormer({ key, attributes }: Lease): void {
    if (this.#kept.size === 0) return;
    const { hostId, ...published } = attributes;
    const former = [...this.#kept].filter(({ active }) => {
      return hostId !== undefined && active?.attributes.hostId === hostId;
    });
    // By the index of addresses: devices are compared byte for byte, and there may be many.
    for (const address of addressesOf({ attributes })) {
      for (const other of this.#addresses.keysOf(address)) {
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
      before !== undefined &&
      before.createRevision === lease.createRevision &&
      blocksOf(before.subnet).join() === blocksOf(lease.subnet).join() &&
      bytesEqual(encodeAttributes(before.attributes), encodeAttributes(lease.attributes));
    if (same) return;
    this.#release(entry);
    entry.active = lease;
    for (const block of blocksOf(lease.subnet)) this.#blocks.add(block, entry);
    if (entry.isOwn) return;
    this.#changes.set(entry.key, lease);
    for (const address of addressesOf(lease)) this.#addresses.add(entry.key, address);
  }

  #deactivate(entry: PeerEntry): void {
    if (entry.active === undefined) return;
    this.#release(entry);
    delete entry.active;
    if (!entry.isOwn) this.#changes.set(entry.key, undefined);
  }

  /** Undoes what `#activate` entered in the indexes. */
  #release(entry: PeerEntry): void {
    if (entry.active === undefined) return;
    for (const block of blocksOf(entry.active.subnet)) this.#blocks.delete(block);
    for (const address of addressesOf(entry.active)) this.#addresses.delete(entry.key, address);
  }

  #tell(entry: PeerEntry, reason: string | undefined): void {
    const before = entry.reason;
    if (reason === before) return;
    if (reason === undefined) delete entry.reason;
    else entry.reason = reason;
    if (reason !== undefined) this.#report({ type: 'rejected', key: entry.key, reason });
    else this.#report({ type: 'accepted', key: entry.key });
  }
}
