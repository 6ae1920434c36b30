/**
 * All names of a cluster, live from the store. An interruption of the store changes nothing. What a store has forgotten
 * that comes back without its data stays for as long as a lease lasts: the hosts publish it again meanwhile. Of this host's
 * own, what it says itself is known and not what the store has of it.
 */
import { together } from '../../base/abort.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { messageOf, ParseError } from '../../base/errors.ts';
import type { Ip } from '../../base/ip.ts';
import { increment, Watchable } from '../../base/watchable.ts';
import type { KeyValue, Revision, Store, StoreLeaseId, StoreUpdate } from '../../store/store.ts';
import { Retention } from '../retention.ts';
import { type NameKeys, parseNameKey } from './name-key.ts';
import { decodeNames } from './name-value.ts';
import type { KnownNames, NamedAddress } from './names.ts';
import { ShownNames, type StatedNames } from './shown-names.ts';

/** Names as the store has them. */
export interface StoredNames {
  readonly named: NamedAddress;
  readonly storeLease: StoreLeaseId;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  /** The store does not have it any more. */
  readonly isForgotten?: true;
}

/** A key whose value is not used, and why. */
export interface RejectedNames {
  /** Below `names/`. */
  readonly key: string;
  readonly reason: string;
}

export interface NameWatchOptions {
  readonly store: Pick<Store, 'observe'>;
  readonly keys: NameKeys;
  /** Called once for each value that is not used. */
  readonly onRejected?: (rejected: RejectedNames) => void;
  readonly clock?: Clock;
  /** Seconds for which forgotten keys are kept; a day unless given. */
  readonly keepFor?: number;
}

export class NameWatch implements KnownNames {
  readonly #options: NameWatchOptions;
  /** By key. */
  readonly #stored = new Map<string, StoredNames>();
  readonly #shown = new ShownNames(this.#stored);
  readonly #rejected = new Map<string, { readonly reason: string; readonly modRevision: Revision }>();
  /** Of what the store has forgotten. */
  readonly #retention: Retention;
  #revision: Revision | undefined;
  /** Grows with every change, and when contact to the store is lost or back. */
  readonly version = new Watchable(0);

  constructor(options: NameWatchOptions) {
    this.#options = options;
    this.#retention = new Retention(options.clock ?? systemClock);
  }

  /** Of the last change; undefined until the store has answered for the first time. */
  get revision(): Revision | undefined {
    return this.#revision;
  }

  /** By key. */
  get stored(): ReadonlyMap<string, StoredNames> {
    return this.#stored;
  }

  get rejected(): readonly RejectedNames[] {
    return Array.from(this.#rejected, ([key, { reason }]) => ({ key, reason }));
  }

  /** Of the value that the store has now, also of one that nobody can read; 0n when there is none. */
  revisionOf(key: string): Revision {
    const stored = this.#stored.get(key);
    if (stored !== undefined) return stored.isForgotten ? 0n : stored.modRevision;
    return this.#rejected.get(this.#options.keys.below(key) ?? '')?.modRevision ?? 0n;
  }

  /** Names of all networks. */
  get count(): number {
    return this.#shown.count;
  }

  lookup(network: string, name: string): readonly Ip[] {
    return this.#shown.lookup(network, name);
  }

  reverse(ip: Ip): readonly { readonly network: string; readonly name: string }[] {
    return this.#shown.reverse(ip);
  }

  hasNetwork(network: string): boolean {
    return this.#shown.hasNetwork(network);
  }

  /** All of them, in no order: as the store has them, and those of this host as it says itself. */
  all(): readonly NamedAddress[] {
    return this.#shown.all();
  }

  /** What this host says of its own, all of it each time. */
  state(own: StatedNames): void {
    this.#shown.state(own);
    increment(this.version);
  }

  /** Follows the store until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await together(
      signal,
      until => this.#follow(until),
      until => this.#retention.run(until, () => this.#giveUp()),
    );
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { store, keys } = this.#options;
    for await (const update of store.observe(keys.directory, { signal })) {
      this.#take(update);
      increment(this.version);
    }
  }

  #take(update: StoreUpdate): void {
    if (update.type === 'snapshot') {
      this.#replace(update.kvs, update.unrelated === true);
      this.#revision = update.revision;
    } else if (update.type === 'events') {
      for (const event of update.events) {
        if (event.type === 'put') this.#put(event.kv);
        else this.#delete(event.key);
      }
      this.#revision = update.revision;
    }
  }

  #replace(kvs: readonly KeyValue[], isUnrelated: boolean): void {
    const present = new Set(kvs.map(({ key }) => key));
    for (const [key, stored] of this.#stored) {
      if (present.has(key)) continue;
      if (!isUnrelated) this.#delete(key);
      else {
        this.#stored.set(key, { ...stored, isForgotten: true });
        this.#shown.refresh(key);
      }
    }
    for (const key of this.#rejected.keys()) {
      if (!present.has(`${this.#options.keys.directory}${key}`)) this.#rejected.delete(key);
    }
    for (const kv of kvs) this.#put(kv);
    if (!isUnrelated) return;
    this.#retention.begin(this.#options.keepFor ?? 86_400);
  }

  #put({ key, value, lease: storeLease, createRevision, modRevision }: KeyValue): void {
    const below = this.#options.keys.below(key) ?? '';
    const parsed = parseNameKey(below);
    this.#delete(key);
    try {
      if (parsed === undefined) throw new ParseError('a key of names', below, 'want NETWORK/ADDRESS');
      const named = decodeNames(parsed, value);
      this.#stored.set(key, { named, storeLease, createRevision, modRevision });
      this.#shown.refresh(key);
    } catch (error) {
      const reason = messageOf(error);
      this.#rejected.set(below, { reason, modRevision });
      this.#options.onRejected?.({ key: below, reason });
    }
  }

  #delete(key: string): void {
    if (this.#stored.delete(key)) this.#shown.refresh(key);
    this.#rejected.delete(this.#options.keys.below(key) ?? '');
  }

  #giveUp(): void {
    for (const [key, { isForgotten }] of this.#stored) if (isForgotten) this.#delete(key);
    increment(this.version);
  }
}
