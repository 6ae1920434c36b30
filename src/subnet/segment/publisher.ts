/**
 * Writes what differs between what this host has on an L2 network and what the store says of it. One address that the store
 * refuses, or that another container has, keeps no other from being published.
 */
import type { Clock } from '../../base/clock.ts';
import { type Revision, StoreError } from '../../store/store.ts';
import type { KeysLease } from '../publish/keys-lease.ts';
import { UndoneWrites } from '../publish/undone-writes.ts';
import { WrittenKeys } from '../publish/written-keys.ts';
import {
  allWanted,
  type EndpointConflict,
  MEMBER,
  memberText,
  type PresencePlan,
  planPresence,
  storeLeasesOf,
  type WantedPresence,
} from './presence-plan.ts';
import type { SegmentEndpoint, SegmentSnapshot } from './segment.ts';
import { SegmentError } from './segment-error.ts';
import { MOST_CLAIMS, type SegmentRegistry } from './segment-registry.ts';

/** What stays unpublished. */
export interface Unpublished {
  readonly conflicts: readonly EndpointConflict[];
  /** What the store does not let this host write, the first of it. */
  readonly refusal?: StoreError;
}

export class SegmentPublisher {
  readonly #registry: SegmentRegistry;
  readonly #lease: KeysLease;
  readonly #hostId: string;
  /** By id of the network and what of it. */
  readonly #written = new WrittenKeys();
  readonly #undone: UndoneWrites;
  readonly #clock: Clock;

  constructor(registry: SegmentRegistry, lease: KeysLease, hostId: string, clock: Clock) {
    this.#registry = registry;
    this.#lease = lease;
    this.#hostId = hostId;
    this.#clock = clock;
    this.#undone = new UndoneWrites(clock);
  }

  /** When something is to be written that had to wait, on the monotonic clock. */
  get due(): number {
    return this.#undone.until > this.#clock.monotonic() ? this.#undone.until : Number.POSITIVE_INFINITY;
  }

  /** The revision of the snapshot that is compared next. */
  sees(revision: Revision): void {
    this.#written.sees(revision);
  }

  /** @throws StoreError */
  async reconcile(found: SegmentSnapshot, wanted: WantedPresence): Promise<Unpublished> {
    const { segment } = found;
    const isAnything = wanted.member || allWanted(wanted).size > 0;
    if (isAnything) await this.#lease.ensure(storeLeasesOf(found, this.#hostId));
    const plan = planPresence(found, wanted, {
      hostId: this.#hostId,
      storeLease: this.#lease.id,
      isWritten: what => this.#written.has(`${segment.id} ${what}`),
    });
    const conflicts = [...plan.conflicts];
    const values = valuesOf(segment.id, plan);
    const isRepair = [...values].some(([what, value]) => this.#undone.isRepair(what, value));
    if (isRepair && this.due !== Number.POSITIVE_INFINITY) return { conflicts };
    const refusals: StoreError[] = [];
    try {
      if (plan.leave) this.#undone.forget(`${segment.id} ${MEMBER}`);
      if (plan.leave) await this.#registry.leave(segment, this.#hostId);
      for (const { ip } of plan.release) this.#undone.forget(`${segment.id} ${ip}`);
      const ips = plan.release.map(({ ip }) => ip);
      if (ips.length > 0) await this.#registry.releaseEndpoints(segment, ips, this.#hostId);
      const { join } = plan;
      if (join !== undefined) {
        await unlessRefused(refusals, async () => {
          this.#note(segment.id, MEMBER, await this.#registry.join(segment, join, this.#lease.id));
        });
      }
      for (let first = 0; first < plan.claim.length; first += MOST_CLAIMS) {
        const batch = plan.claim.slice(first, first + MOST_CLAIMS);
        conflicts.push(...(await this.#claim(found, batch, refusals)));
      }
      this.#undone.record(values, isRepair);
    } catch (error) {
      // Deleted meanwhile, which the watch says in a moment.
      if (!(error instanceof SegmentError) || error.code !== 'NOT_FOUND') throw error;
    }
    const [refusal] = refusals;
    return { conflicts, ...(refusal !== undefined && { refusal }) };
  }

  /**
   * Takes the addresses of a container at once, all of them or none, if the store answers.
   * @throws SegmentError DUPLICATE_ADDRESS, NOT_FOUND; StoreError when it refuses
   */
  async claimNow(
    found: SegmentSnapshot,
    endpoints: readonly SegmentEndpoint[],
  ): Promise<'published' | 'pending'> {
    try {
      await this.#lease.ensure(storeLeasesOf(found, this.#hostId));
      await this.#write(found, endpoints);
      return 'published';
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (error.code === 'LEASE_LOST') this.#lease.lost();
      else if (!error.retriable) throw error;
      return 'pending';
    }
  }

  /** @returns those that others have. @throws StoreError, SegmentError NOT_FOUND */
  async #claim(
    found: SegmentSnapshot,
    endpoints: readonly SegmentEndpoint[],
    refusals: StoreError[],
  ): Promise<readonly EndpointConflict[]> {
    const conflicts: EndpointConflict[] = [];
    for (let left = endpoints; left.length > 0; ) {
      const all = left;
      try {
        const isDone = await unlessRefused(refusals, () => this.#write(found, all));
        // One of them is refused: which, shows when each is written alone.
        if (isDone || all.length === 1) break;
        refusals.pop();
        for (const one of all) conflicts.push(...(await this.#claim(found, [one], refusals)));
        break;
      } catch (error) {
        const owner = error instanceof SegmentError ? error.owner : undefined;
        const endpoint = all.find(({ ip }) => ip.equals(owner?.ip));
        if (owner === undefined || endpoint === undefined) throw error;
        conflicts.push({ segment: found.segment.name, endpoint, owner });
        left = all.filter(one => one !== endpoint);
      }
    }
    return conflicts;
  }

  async #write({ segment }: SegmentSnapshot, endpoints: readonly SegmentEndpoint[]): Promise<void> {
    const revision = await this.#registry.claimEndpoints(segment, endpoints, this.#lease.id);
    for (const { ip } of endpoints) this.#note(segment.id, `${ip}`, revision);
  }

  #note(id: string, what: string, revision: Revision): void {
    this.#written.note(`${id} ${what}`, revision);
  }
}

/** What the plan writes, by network and what of it. */
function valuesOf(id: string, { join, claim }: PresencePlan): Map<string, string> {
  const values = new Map(
    claim.map(({ ip, mac, container, hostName }) => [`${id} ${ip}`, `${mac} ${container} ${hostName}`]),
  );
  if (join !== undefined) values.set(`${id} ${MEMBER}`, memberText(join));
  return values;
}

/** False when the store does not let this host do it; the reason is added to `refusals`. */
async function unlessRefused(refusals: StoreError[], write: () => Promise<void>): Promise<boolean> {
  try {
    await write();
    return true;
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'FORBIDDEN') throw error;
    refusals.push(error);
    return false;
  }
}
