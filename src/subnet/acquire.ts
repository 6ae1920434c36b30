/**
 * How a host comes to its lease. In this order it takes
 *
 *     1. a reservation made for it, by host id or by public address
 *     2. the lease it has, by host id
 *     3. a lease that leads to this host's very device under another id: this host before it lost its identity
 *     4. a lease that flannel wrote for its public address: this host before it became one of ours
 *     5. the subnet it had before, when that is free
 *     6. a free subnet
 *
 * as long as the subnet fits the configuration. A race that is lost starts over with a fresh list: somebody
 * else has made progress, and the next try looks elsewhere.
 */
import { bytesEqual } from '../base/bytes.ts';
import type { Family } from '../base/ip.ts';
import { StoreError, type StoreLeaseId } from '../store/store.ts';
import { allocate } from './allocator.ts';
import { encodeAttributes } from './attributes.ts';
import { BlockMap } from './block-map.ts';
import { claimsWithin, olderClaim } from './claims.ts';
import { type FamilyConfig, familiesOf, isLeasable, type NetworkConfig, subnetCount } from './config.ts';
import {
  isReservation,
  type Lease,
  type LeaseAttributes,
  leadToOneDevice,
  type Subnet,
  shareAddress,
} from './lease.ts';
import type { Finding, Registry } from './registry.ts';

export interface Applicant {
  readonly config: NetworkConfig;
  /** What is published; `hostId` is who asks. */
  readonly attributes: LeaseAttributes & { readonly hostId: string };
  /** The subnet of the last run, from subnet.env. */
  readonly previous?: Subnet;
  /** Keys that somebody with our public address and without identity took from us: they are in use. */
  readonly avoid?: ReadonlySet<string>;
}

export type Origin =
  | 'reservation'
  | 'host id'
  | 'earlier identity'
  | 'public address'
  | 'previous subnet'
  | 'new subnet';

export type Acquisition =
  | { readonly outcome: 'acquired'; readonly lease: Lease; readonly origin: Origin }
  /** Every subnet is taken: nothing is wrong, and the host waits until one is free. */
  | { readonly outcome: 'full'; readonly reason: string };

/** @throws StoreError; the signal's reason on abort. What it granted and did not use it gives back. */
export async function acquire(
  registry: Registry,
  applicant: Applicant,
  signal: AbortSignal,
): Promise<Acquisition> {
  const grant = new Grant(registry);
  try {
    for (let attempt = 0; ; attempt++) {
      signal.throwIfAborted();
      const listing = await registry.search(lease => mayBeOwn(lease, applicant.attributes));
      const own = findOwn(listing, applicant);
      const result = own
        ? await takeOver(registry, applicant, listing, own, grant)
        : await create(registry, applicant, listing, attempt, grant);
      if (result === undefined) continue;
      if (result.outcome === 'acquired') grant.isUsedBy(result.lease);
      return result;
    }
  } finally {
    // Without an answer the store may have created the lease all the same; then it goes too, and nobody is hurt.
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

interface Own {
  readonly lease: Lease;
  readonly origin: Origin;
}

/** By the host's id, or by its addresses, which also one with another id has when it lost its identity. */
const mayBeOwn = ({ attributes }: Lease, own: Applicant['attributes']) =>
  attributes.hostId === own.hostId || shareAddress(own, attributes);

function findOwn({ leases }: Finding, { config, attributes, avoid }: Applicant): Own | undefined {
  const byId = (lease: Lease) => lease.attributes.hostId === attributes.hostId;
  const byDevice = (lease: Lease) =>
    lease.attributes.hostId !== undefined && leadToOneDevice(attributes, lease.attributes);
  const byAddress = (lease: Lease) =>
    lease.attributes.hostId === undefined &&
    shareAddress(attributes, lease.attributes) &&
    avoid?.has(lease.key) !== true;
  const inBothFamilies = (test: typeof isLeasable) => (lease: Lease) =>
    test(config.ipv4, lease.subnet.ipv4) && test(config.ipv6, lease.subnet.ipv6);
  const fits = inBothFamilies(isLeasable);
  const fitsReserved = inBothFamilies(isReservable);

  const wishes: readonly [Origin, (lease: Lease) => boolean][] = [
    ['reservation', lease => isReservation(lease) && byId(lease) && fitsReserved(lease)],
    ['reservation', lease => isReservation(lease) && byAddress(lease) && fitsReserved(lease)],
    ['host id', lease => byId(lease) && fits(lease)],
    ['earlier identity', lease => byDevice(lease) && (isReservation(lease) ? fitsReserved : fits)(lease)],
    ['public address', lease => byAddress(lease) && fits(lease)],
  ];
  for (const [origin, wanted] of wishes) {
    const lease = leases.find(wanted);
    if (lease !== undefined) return { lease, origin };
  }
  return undefined;
}

/** Undefined when somebody changed the lease meanwhile. */
async function takeOver(
  registry: Registry,
  { attributes: published }: Applicant,
  listing: Finding,
  { lease, origin }: Own,
  grant: Grant,
): Promise<Acquisition | undefined> {
  const { extra, hostId } = lease.attributes;
  const attributes = { ...published, ...(extra === undefined ? {} : { extra }) };
  let storeLease = 0n;
  if (!isReservation(lease)) {
    // Our own store lease is kept as long as it lives and lasts as long as it should.
    const left = hostId === published.hostId ? await registry.store.keepAlive(lease.storeLease) : undefined;
    storeLease = left === registry.ttl ? lease.storeLease : await grant.take();
  }
  let held = lease;
  if (
    storeLease !== lease.storeLease ||
    !bytesEqual(encodeAttributes(attributes), encodeAttributes(lease.attributes))
  ) {
    const written = await registry.replace(lease, attributes, storeLease).catch((error: unknown) => {
      // It may have been done, and the lease that this host has must not end with what is given back.
      if (error instanceof StoreError && error.code === 'UNAVAILABLE') grant.isUsedBy({ storeLease });
      throw error;
    });
    if (!written.ok) return undefined;
    held = written.lease;
  }
  // One subnet for one host: others of ours are left from before a reservation or a change of configuration.
  for (const other of formerOf(listing, published.hostId)) {
    if (other.key !== lease.key) await registry.remove(other);
  }
  return { outcome: 'acquired', lease: held, origin };
}

/** Undefined when somebody was faster. */
async function create(
  registry: Registry,
  { config, attributes, previous }: Applicant,
  listing: Finding,
  attempt: number,
  grant: Grant,
): Promise<Acquisition | undefined> {
  // What we have does not fit any more. It is given up for the new lease, which keeps what it can of it.
  const former = formerOf(listing, attributes.hostId);
  const formerKeys = new Set(former.map(lease => lease.key));
  const taken = new BlockMap<string>();
  for (const { key, block } of claimsWithin(listing.claims, config)) {
    if (!formerKeys.has(key)) taken.add(block, key);
  }
  const wishes = [previous, ...former.map(lease => lease.subnet)];

  const subnet: { -readonly [Name in keyof Subnet]: Subnet[Name] } = {};
  let origin: Origin = 'previous subnet';
  for (const name of familiesOf(config)) {
    const family = config[name];
    if (family === undefined) continue;
    const known = wishes
      .map(wish => wish?.[name])
      .find(block => block && isLeasable(family, block) && taken.overlaps(block).length === 0);
    if (known === undefined) origin = 'new subnet';
    const block = known ?? allocate(family, taken, attributes.hostId, attempt);
    if (block === undefined) return { outcome: 'full', reason: explainFull(family) };
    subnet[name] = block;
  }

  const written = await registry.create(subnet, attributes, await grant.take(), former);
  if (!written.ok) return undefined;
  const claims = await registry.claims();
  if (olderClaim(claimsWithin(claims, config), written.lease) !== undefined) {
    await registry.remove(written.lease);
    return undefined;
  }
  return { outcome: 'acquired', lease: written.lease, origin };
}

/** A reservation may be of another length, and outside the range that is given out by itself. */
function isReservable(family: NetworkConfig[Family], block: Subnet[Family]): boolean {
  if (family === undefined || block === undefined) return family === block;
  return family.network.contains(block) && block.length >= family.network.length + 2;
}

function formerOf({ leases }: Finding, hostId: string): readonly Lease[] {
  return leases.filter(lease => lease.attributes.hostId === hostId && !isReservation(lease));
}

function explainFull(family: FamilyConfig): string {
  const range = `${family.subnetMin} to ${family.subnetMax}`;
  return `all ${subnetCount(family)} subnets (/${family.subnetLength}) from ${range} are taken`;
}
