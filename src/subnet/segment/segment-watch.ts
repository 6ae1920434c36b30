/**
 * All L2 networks of a cluster, live from the store. An interruption of the store changes nothing. A store that comes
 * back without its data ends no network either: what it has forgotten stays for as long as a lease lasts, so that a
 * restore from a backup disconnects no container.
 *
 * Consumers get the newest state, however much happened since they last looked.
 */
import { together } from '../../base/abort.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { increment, Watchable } from '../../base/watchable.ts';
import type { StoreError, StoreUpdate } from '../../store/store.ts';
import { Retention } from '../retention.ts';
import type { SegmentsSnapshot } from './segment.ts';
import type { SegmentRegistry } from './segment-registry.ts';
import { SegmentState } from './segment-state.ts';

/** Reported once. */
export type SegmentEvent =
  /** A key whose present value is not used, and why. */
  | { readonly type: 'rejected'; readonly key: string; readonly reason: string }
  /** A key that was rejected is good now, or gone. */
  | { readonly type: 'accepted'; readonly key: string }
  /** No contact to the store, and again when there is another reason for it. */
  | { readonly type: 'interrupted'; readonly error: StoreError }
  | { readonly type: 'resumed' }
  /** The store has lost its history, and with it these keys; they are kept for the time of a lease. */
  | { readonly type: 'forgotten'; readonly keys: readonly string[] };

export interface SegmentWatchOptions {
  /** Called with each event once. */
  readonly onEvent?: (event: SegmentEvent) => void;
  readonly clock?: Clock;
  /** Seconds for which forgotten keys are kept; a day unless given. */
  readonly keepFor?: number;
}

export class SegmentWatch {
  /** Whether the store answers; what is known stays known without it. */
  readonly isConnected = new Watchable(false);
  readonly #registry: SegmentRegistry;
  readonly #report: (event: SegmentEvent) => void;
  readonly #keepFor: number;
  readonly #state: SegmentState;
  readonly #version = new Watchable(0);
  readonly #reported = new Map<string, string>();
  #isLoaded = false;
  /** Of what the store has forgotten. */
  readonly #retention: Retention;

  constructor(
    registry: SegmentRegistry,
    { onEvent = () => undefined, clock = systemClock, keepFor = 86_400 }: SegmentWatchOptions = {},
  ) {
    this.#registry = registry;
    this.#report = onEvent;
    this.#keepFor = keepFor;
    this.#state = new SegmentState(registry.keys);
    this.#retention = new Retention(clock);
  }

  /** The newest state; undefined until the store has answered for the first time. */
  get snapshot(): SegmentsSnapshot | undefined {
    return this.#isLoaded ? this.#judge() : undefined;
  }

  /** The whole state as soon as it is known, and again after each change. Ends when `signal` aborts. */
  async *changes(signal: AbortSignal): AsyncGenerator<SegmentsSnapshot, void> {
    for await (const _ of this.#version.changes(signal)) {
      if (this.#isLoaded) yield this.#judge();
    }
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
    const { store, keys } = this.#registry;
    for await (const update of store.observe(keys.directory, { signal })) this.#take(update);
  }

  #take(update: StoreUpdate): void {
    switch (update.type) {
      case 'snapshot': {
        const forgotten = this.#state.replace(update.kvs, update);
        if (update.unrelated && forgotten.length > 0) {
          this.#retention.begin(this.#keepFor);
          this.#report({ type: 'forgotten', keys: forgotten });
        }
        this.#isLoaded = true;
        this.isConnected.set(true);
        return increment(this.#version);
      }
      case 'events':
        for (const event of update.events) {
          if (event.type === 'put') this.#state.put(event.kv);
          else this.#state.delete(event.key);
        }
        this.#state.advance(update.revision);
        return increment(this.#version);
      case 'interrupted':
        this.isConnected.set(false);
        return this.#report({ type: 'interrupted', error: update.error });
      case 'resumed':
        this.isConnected.set(true);
        return this.#report({ type: 'resumed' });
    }
  }

  #giveUp(): void {
    this.#state.forgetKept();
    increment(this.#version);
  }

  /** Only when it is asked for: of a thousand changes in a burst the state after the last one counts. */
  #judge(): SegmentsSnapshot {
    const snapshot = this.#state.snapshot();
    const rejected = new Map(snapshot.rejected.map(({ key, reason }) => [key, reason]));
    for (const [key, reason] of rejected) {
      if (this.#reported.get(key) === reason) continue;
      this.#reported.set(key, reason);
      this.#report({ type: 'rejected', key, reason });
    }
    for (const key of this.#reported.keys()) {
      if (rejected.has(key)) continue;
      this.#reported.delete(key);
      this.#report({ type: 'accepted', key });
    }
    return snapshot;
  }
}
