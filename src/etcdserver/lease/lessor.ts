/**
 * Leases: keys that are deleted unless a client keeps the lease alive.
 *
 * Running leases are timed with the monotonic clock, so a jump of the wall clock neither kills nor prolongs them.
 * For a restart they are written down with wall-clock expiry, every few seconds and only those that changed,
 * together with the time of writing (`alive_at`). The remaining time after a restart is the difference of the
 * two: time stands still while the store is down, because no client could have kept the lease alive. What a crash
 * can lose are the last seconds of keep-alives, and then the lease has the time it had at the last checkpoint.
 */
import type { StatementSync } from 'node:sqlite';
import type { Clock } from '../../base/clock.ts';
import { refusal } from '../errors.ts';
import { rangeOf } from '../kv/range.ts';
import type { MvccWriter } from '../mvcc/mvcc.ts';
import type { Database } from '../sqlite/database.ts';
import { into } from '../sqlite/schema.ts';
import type { Tables } from '../sqlite/tables.ts';

/** Seconds; etcd's minimum with its default election timeout: an answer must be able to arrive in time. */
const MIN_TTL = 2n;
/** Seconds; etcd's maximum. */
const MAX_TTL = 9_000_000_000n;

/** How exactly leases end, in milliseconds. */
const SLOT_MS = 250;

interface Lease {
  readonly id: bigint;
  /** Seconds. */
  readonly granted: bigint;
  /** The restricted caller that asked for it. */
  readonly owner: string | undefined;
  /** Monotonic milliseconds. */
  expiresAt: number;
}

const NO_RANGE_END = new Uint8Array();

export class Lessor {
  readonly #tables: Tables;
  readonly #clock: Clock;
  readonly #leases = new Map<bigint, Lease>();
  /** Leases by the slot of time in which to look at them again; a keep-alive does not move its lease. */
  readonly #agenda = new Map<number, bigint[]>();
  #nextSlot: number;
  /** Renewed since the last checkpoint. */
  readonly #renewed = new Set<bigint>();
  readonly #all: StatementSync;
  readonly #write: StatementSync;
  readonly #delete: StatementSync;

  constructor(database: Database, tables: Tables, clock: Clock) {
    this.#tables = tables;
    this.#clock = clock;
    this.#nextSlot = slotOf(clock.monotonic());
    this.#all = database.prepare('SELECT id, granted, expires_at, owner FROM leases');
    this.#write = database.prepare(`INSERT OR REPLACE ${into('leases')}`);
    this.#delete = database.prepare('DELETE FROM leases WHERE id = ?');
    this.reload();
  }

  /** Makes memory equal to the table: at the start, and after a rollback. Running leases keep their time. */
  reload(): void {
    const alive = this.#tables.getMeta('alive_at');
    const stored = new Set<bigint>();
    for (const row of this.#all.all()) {
      const id = row['id'] as bigint;
      stored.add(id);
      if (this.#leases.has(id)) continue;
      const granted = row['granted'] as bigint;
      const left = alive === undefined ? granted * 1000n : (row['expires_at'] as bigint) - alive;
      const bounded =
        left > granted * 1000n ? granted * 1000n : left < MIN_TTL * 1000n ? MIN_TTL * 1000n : left;
      const owner = (row['owner'] as string | null) ?? undefined;
      this.#add({ id, granted, owner, expiresAt: this.#clock.monotonic() + Number(bounded) });
    }
    for (const id of this.#leases.keys()) if (!stored.has(id)) this.#leases.delete(id);
  }

  get size(): number {
    return this.#leases.size;
  }

  has(id: bigint): boolean {
    return this.#leases.has(id);
  }

  /** Who asked for this lease; undefined when that was not asked for, and for a lease that is not there. */
  ownerOf(id: bigint): string | undefined {
    return this.#leases.get(id)?.owner;
  }

  /** How many leases this owner has. */
  countOf(owner: string): number {
    let count = 0;
    for (const lease of this.#leases.values()) if (lease.owner === owner) count++;
    return count;
  }

  /** @returns the seconds granted, at least MIN_TTL. @throws RpcError */
  grant(id: bigint, ttl: bigint, owner?: string): bigint {
    if (ttl > MAX_TTL) throw refusal('leaseTtlTooLarge');
    if (this.#leases.has(id)) throw refusal('leaseExists');
    const granted = ttl < MIN_TTL ? MIN_TTL : ttl;
    const lease = { id, granted, owner, expiresAt: this.#clock.monotonic() + Number(granted) * 1000 };
    this.#store(lease);
    this.#add(lease);
    return granted;
  }

  /** Deletes the lease and, in key order, its keys. @throws RpcError when there is no such lease. */
  revoke(id: bigint, writer: MvccWriter): void {
    if (!this.#leases.has(id)) throw refusal('leaseNotFound');
    for (const key of this.#tables.keysOfLease(id)) writer.deleteRange(rangeOf(key, NO_RANGE_END));
    this.#delete.run(id);
    this.#leases.delete(id);
    this.#renewed.delete(id);
  }

  /** Starts the lease's time again. @returns the seconds granted, or undefined when there is no such lease. */
  keepAlive(id: bigint): bigint | undefined {
    const lease = this.#leases.get(id);
    if (lease === undefined || lease.expiresAt <= this.#clock.monotonic()) return undefined;
    lease.expiresAt = this.#clock.monotonic() + Number(lease.granted) * 1000;
    this.#renewed.add(id);
    return lease.granted;
  }

  /** Seconds; undefined when there is no such lease. */
  timeToLive(id: bigint): { readonly remaining: bigint; readonly granted: bigint } | undefined {
    const lease = this.#leases.get(id);
    if (lease === undefined) return undefined;
    const left = Math.max(0, Math.floor((lease.expiresAt - this.#clock.monotonic()) / 1000));
    return { remaining: BigInt(left), granted: lease.granted };
  }

  /** The one that expires first comes first. */
  list(): bigint[] {
    return [...this.#leases.values()].sort((a, b) => a.expiresAt - b.expiresAt).map(lease => lease.id);
  }

  /** Leases whose time is over. Each is named again at every call until it is revoked or renewed. */
  due(): bigint[] {
    const now = this.#clock.monotonic();
    const due: Lease[] = [];
    for (; this.#nextSlot <= slotOf(now); this.#nextSlot++) {
      for (const id of this.#agenda.get(this.#nextSlot) ?? []) {
        const lease = this.#leases.get(id);
        if (lease === undefined) continue;
        if (lease.expiresAt <= now) due.push(lease);
        else this.#plan(lease);
      }
      this.#agenda.delete(this.#nextSlot);
    }
    for (const lease of due) this.#plan(lease);
    return due.map(lease => lease.id);
  }

  /** Whether `checkpoint` has something to write. */
  get needsCheckpoint(): boolean {
    return this.#leases.size > 0;
  }

  /** Writes down how much time the leases have left. */
  checkpoint(): void {
    for (const id of this.#renewed) {
      const lease = this.#leases.get(id);
      if (lease !== undefined) this.#store(lease);
    }
    this.#renewed.clear();
    this.#tables.setMeta('alive_at', BigInt(Math.round(this.#clock.now())));
  }

  #store(lease: Lease): void {
    const left = lease.expiresAt - this.#clock.monotonic();
    const expiresAt = BigInt(Math.round(this.#clock.now() + left));
    this.#write.run(lease.id, lease.granted, expiresAt, lease.owner ?? null);
  }

  #add(lease: Lease): void {
    this.#leases.set(lease.id, lease);
    this.#plan(lease);
  }

  /** A lease is looked at in the slot after its expiry; one that is due and still here, in the next. */
  #plan(lease: Lease): void {
    const slot = Math.max(slotOf(lease.expiresAt), this.#nextSlot) + 1;
    const planned = this.#agenda.get(slot);
    if (planned === undefined) this.#agenda.set(slot, [lease.id]);
    else planned.push(lease.id);
  }
}

function slotOf(milliseconds: number): number {
  return Math.floor(milliseconds / SLOT_MS);
}
