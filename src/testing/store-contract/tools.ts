/** What the cases of the contract share: unique names, text values, and an observer read step by step. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { untilAborted } from '../../base/abort.ts';
import type { KeyValue, Store, StoreEvent, StoreUpdate } from '../../store/store.ts';

/** A prefix of this case alone, without a trailing slash. */
export const freshPrefix = () => `/contract/${randomBytes(6).toString('hex')}`;

export const text = (value: string): Uint8Array => new TextEncoder().encode(value);

export const textOf = (kv: KeyValue | undefined): string | undefined =>
  kv === undefined ? undefined : new TextDecoder().decode(kv.value);

export const keysOf = (kvs: readonly KeyValue[]): string[] => kvs.map(kv => kv.key);

/** Events as lines: `put /a 1`, `delete /a`. */
export const describeEvents = (events: readonly StoreEvent[]): string[] =>
  events.map(event =>
    event.type === 'put' ? `put ${event.kv.key} ${textOf(event.kv)}` : `delete ${event.key}`,
  );

/** Milliseconds that an update may take, on a machine that is busy with other things. */
const PATIENCE = 30_000;

function deadline(): AbortSignal {
  const late = new AbortController();
  const reason = new Error(`no update of the observed keys within ${PATIENCE} ms`);
  setTimeout(() => late.abort(reason), PATIENCE).unref();
  return late.signal;
}

/** An observation that the case reads update by update. */
export class StoreObserver implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #updates: AsyncIterator<StoreUpdate>;

  constructor(store: Store, prefix: string, options: { readonly exact?: boolean } = {}) {
    this.#updates = store.observe(prefix, { ...options, signal: this.#stop.signal })[Symbol.asyncIterator]();
  }

  /** The next update; undefined when the observation has ended. @throws Error when none comes in time */
  async next(): Promise<StoreUpdate | undefined> {
    const { done, value } = await untilAborted(this.#updates.next(), deadline());
    return done === true ? undefined : value;
  }

  async snapshot(): Promise<Extract<StoreUpdate, { type: 'snapshot' }>> {
    const update = await this.next();
    assert.ok(update?.type === 'snapshot', `want a snapshot, got ${update?.type}`);
    return update;
  }

  async events(): Promise<Extract<StoreUpdate, { type: 'events' }>> {
    const update = await this.next();
    assert.ok(update?.type === 'events', `want events, got ${update?.type}`);
    return update;
  }

  abort(reason?: Error): void {
    this.#stop.abort(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#updates.return?.();
  }
}
