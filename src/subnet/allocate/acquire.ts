/**
 * How a host comes to its lease. In this order it takes
 *
 *     1. a reservation made for it, by host id or by public address
 *     2. the lease it has, by host id
 *     3. a lease under another id with its address or machine: this host before it lost its identity
 *     4. a lease that flannel wrote for its public address: this host before it became one of ours
 *     5. the subnet it had before, when that is free
 *     6. a free subnet
 *
 * as long as the subnet fits the configuration. After a lost race it starts over with a fresh list, and the next try
 * looks elsewhere.
 */
import { bytesEqual } from '../../base/bytes.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { familiesOf } from '../../base/per-family.ts';
import { StoreError, type StoreLeaseId } from '../../store/store.ts';
import { type FamilyConfig, isLeasable, subnetCount } from '../config/config.ts';
import { encodeAttributes } from '../lease/attributes.ts';
import { BlockMap } from '../lease/block-map.ts';
import { isReservation, type Lease, type Subnet, valueFor } from '../lease/lease.ts';
import { olderOverlap, takenWithin } from '../lease/taken-blocks.ts';
import type { LeaseFindings, Registry } from '../registry.ts';
import { allocate } from './allocator.ts';
import {
  type Applicant,
  chooseOwn,
  isPinned,
  type MatchedBy,
  mayBeOwn,
  type OwnLease,
  proveOwn,
} from './own-leases.ts';

export type Origin = 'reservation' | MatchedBy | 'previous subnet' | 'new subnet';

export type Acquisition =
  | { readonly outcome: 'acquired'; readonly lease: Lease; readonly origin: Origin }
  /** Every subnet is taken: nothing is wrong, and the host waits until one is free. */
  | { readonly outcome: 'full'; readonly reason: string }
  /** A running host has our id and this lease: one of the two is a copy of the other. */
  | { readonly outcome: 'conflict'; readonly lease: Lease };

/** @throws StoreError; the signal's reason on abort. A store lease that was granted and not used is revoked. */
export async function acquire(
  registry: Registry,
  applicant: Applicant,
  signal: AbortSignal,
  clock: Clock = systemClock,
): Promise<Acquisition> {
  const grant = new Grant(registry);
  const context = { clock, signal, alive: new Set<string>() };
  try {
    for (let attempt = 0; ; attempt++) {
      signal.throwIfAborted();
      const listing = await registry.search(lease => mayBeOwn(lease, applicant.attributes));
      const proof = await proveOwn(registry, listing.leases, applicant, context);
      if (proof.outcome === 'conflict') return proof;
      if (proof.outcome === 'changed') continue;
      const chosen = chooseOwn(proof.own, applicant);
      const former = proof.own
        .map(({ lease }) => lease)
        .filter(lease => lease !== chosen?.lease && !isPinned(lease));
      const result = chosen
        ? await takeOver(registry, applicant, chosen, former, grant)
        : await create(registry, applicant, { listing, former, attempt }, grant);
      if (result === undefined) continue;
      if (result.outcome === 'acquired') grant.isUsedBy(result.lease);
      return result;
    }
  } finally {
    // A create whose answer was lost may have been done; its key then ends with the store lease.
    await grant.giveBack();
  }
}

/** A store lease, granted when it is first needed, and given back unless it is used. */
class Grant {
  readonly #registry: Registry;
  #id: StoreLeaseId | undefined;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  async take(): Promise<StoreLeaseId> {
    this.#id ??= (await this.#registry.store.grant(this.#registry.ttl)).id;
    return this.#id;
  }

  isUsedBy({ storeLease }: Pick<Lease, 'storeLease'>): void {
    if (storeLease === this.#id) this.#id = undefined;
  }

  async giveBack(): Promise<void> {
    if (this.#id !== undefined) await this.#registry.store.revoke(this.#id).catch(() => undefined);
  }
}

/** Undefined when another host changed the lease meanwhile. */
async function takeOver(
  registry: Registry,
  { attributes: own }: Applicant,
  { lease, matchedBy }: OwnLease,
  former: readonly Lease[],
  grant: Grant,
): Promise<Acquisition | undefined> {
  const isReserved = isPinned(lease);
  const attributes = valueFor(lease, own, isReserved);
  let storeLease = 0n;
  if (!isReserved) {
    // Our own store lease is kept as long as it lives and lasts as long as it should.
    const isKept = matchedBy === 'host id' && !isReservation(lease);
    const left = isKept ? await registry.store.keepAlive(lease.storeLease) : undefined;
    storeLease = left === registry.ttl ? lease.storeLease : await grant.take();
  }
  let held = lease;
  if (
    storeLease !== lease.storeLease ||
    !bytesEqual(encodeAttributes(attributes), encodeAttributes(lease.attributes))
  ) {
    const written = await registry.replace(lease, attributes, storeLease).catch((error: unknown) => {
      // It may have been done: then the lease of this host must not end with the store lease that is revoked.
      if (error instanceof StoreError && error.code === 'UNAVAILABLE') grant.isUsedBy({ storeLease });
      throw error;
    });
    if (!written.ok) return undefined;
    held = written.lease;
  }
  // One subnet for one host: others of ours are left from before a reservation or a change of configuration.
  for (const other of former) await registry.remove(other);
  return { outcome: 'acquired', lease: held, origin: isReserved ? 'reservation' : matchedBy };
}

interface Situation {
  readonly listing: Pick<LeaseFindings, 'takenBlocks' | 'revision'>;
  /** Leases of ours that do not fit any more: replaced by the new one, which keeps their blocks where it can. */
  readonly former: readonly Lease[];
  /** 0 for the first try, one more for each race lost. */
  readonly attempt: number;
}

/** Undefined when another host took the subnet first. */
async function create(
  registry: Registry,
  { config, attributes, previous }: Applicant,
  { listing, former, attempt }: Situation,
  grant: Grant,
): Promise<Acquisition | undefined> {
  const formerKeys = new Set(former.map(lease => lease.key));
  const taken = new BlockMap<string>();
  for (const { key, block } of takenWithin(listing.takenBlocks, config)) {
    if (!formerKeys.has(key)) taken.add(block, key);
  }
  const candidates = [previous, ...former.map(lease => lease.subnet)];

  const subnet: { -readonly [Name in keyof Subnet]: Subnet[Name] } = {};
  let origin: Origin = 'previous subnet';
  for (const name of familiesOf(config)) {
    const family = config[name];
    if (family === undefined) continue;
    const known = candidates
      .map(candidate => candidate?.[name])
      .find(block => block && isLeasable(family, block) && taken.overlaps(block).length === 0);
    if (known === undefined) origin = 'new subnet';
    const block = known ?? allocate(family, taken, attributes.hostId, attempt);
    if (block === undefined) return { outcome: 'full', reason: explainFull(family) };
    subnet[name] = block;
  }

  const written = await registry.create(subnet, attributes, await grant.take(), former);
  if (!written.ok) return undefined;
  // What the listing has was considered above.
  const since = await registry.takenAfter(listing.revision);
  if (olderOverlap(takenWithin(since, config), written.lease) !== undefined) {
    await registry.remove(written.lease);
    return undefined;
  }
  return { outcome: 'acquired', lease: written.lease, origin };
}

function explainFull(family: FamilyConfig): string {
  const range = `${family.subnetMin} to ${family.subnetMax}`;
  return `all ${subnetCount(family)} subnets (/${family.subnetLength}) from ${range} are taken`;
}
