/**
 * A store that remembers what its observers received, and gives it to the next ones while the real store is
 * away: an agent that starts during an outage sees what the one before it saw. As soon as the store answers, its
 * snapshot replaces what was remembered, as any snapshot does; one that is older than the memory is of a store that
 * has forgotten, so observers receive what is remembered before it.
 *
 * Only observers are served from memory. Everything else, above all every write, goes to the real store.
 */
import { Watchable } from '../base/watchable.ts';
import type { KeyValue, Revision, Store, StoreError, StoreEvent, StoreUpdate } from './store.ts';

/** Whether the store answers those who observe it. */
export interface Contact {
  /** undefined until there was an answer or a failure. */
  readonly connected: boolean | undefined;
  /** The last failure, also after contact is back. */
  readonly error?: StoreError;
  /** The newest revision seen. */
  readonly revision: Revision;
}

export interface CachedStoreOptions {
  /** From an earlier run. */
  readonly cached: Iterable<KeyValue>;
  /** Called after every change of what is remembered. */
  readonly onChange: () => void;
}

export class CachedStore implements Store {
  readonly #inner: Store;
  /** What is remembered, packed. */
  readonly #known: Map<string, string>;
  /** The newest revision of what an earlier run left behind: a store that is not as far is another one. */
  readonly #leftAt: Revision;
  readonly #onChange: () => void;
  /** Observed ranges for which there is nothing but memory yet. */
  readonly #fromMemory = new Set<string>();
  /** Observed ranges without contact. */
  readonly #interrupted = new Set<string>();
  readonly contact = new Watchable<Contact>({ connected: undefined, revision: 0n });

  readonly get: Store['get'];
  readonly list: Store['list'];
  readonly put: Store['put'];
  readonly delete: Store['delete'];
  readonly transact: Store['transact'];
  readonly grant: Store['grant'];
  readonly keepAlive: Store['keepAlive'];
  readonly revoke: Store['revoke'];
  readonly timeToLive: Store['timeToLive'];
  readonly status: Store['status'];

  constructor(inner: Store, options: CachedStoreOptions) {
    this.#inner = inner;
    this.#known = new Map();
    let newest = 0n;
    for (const kv of options.cached) {
      this.#known.set(kv.key, pack(kv));
      if (kv.modRevision > newest) newest = kv.modRevision;
    }
    this.#leftAt = newest;
    this.#onChange = options.onChange;
    this.get = inner.get.bind(inner);
    this.list = inner.list.bind(inner);
    this.put = inner.put.bind(inner);
    this.delete = inner.delete.bind(inner);
    this.transact = inner.transact.bind(inner);
    this.grant = inner.grant.bind(inner);
    this.keepAlive = inner.keepAlive.bind(inner);
    this.revoke = inner.revoke.bind(inner);
    this.timeToLive = inner.timeToLive.bind(inner);
    this.status = inner.status.bind(inner);
  }

  /** Whether an observer received something from memory that the real store has not replaced yet. */
  get stale(): boolean {
    return this.#fromMemory.size > 0;
  }

  /** What is remembered when the first is taken, in no order; unpacked one by one, as thousands at once take megabytes. */
  *cached(): Generator<KeyValue, void> {
    for (const [key, packed] of new Map(this.#known)) yield unpack(key, packed);
  }

  async *observe(
    prefix: string,
    options: { readonly signal: AbortSignal; readonly exact?: boolean },
  ): AsyncGenerator<StoreUpdate, void> {
    const covers = (key: string) => (options.exact === true ? key === prefix : key.startsWith(prefix));
    const range = `${options.exact === true ? 'key' : 'prefix'} ${prefix}`;
    let isFirst = true;
    for await (const update of this.#inner.observe(prefix, options)) {
      this.#noteContact(range, update);
      const isBehind = update.type === 'snapshot' && update.revision < this.#leftAt;
      if (isFirst && (update.type === 'interrupted' || isBehind)) {
        const kvs = [...this.cached()].filter(({ key }) => covers(key));
        if (kvs.length > 0) {
          this.#fromMemory.add(range);
          yield { type: 'snapshot', revision: this.#leftAt, kvs: kvs.sort(byKey) };
        }
      }
      isFirst = false;
      if (update.type === 'snapshot') {
        const isUnrelated = this.#fromMemory.delete(range) && isBehind;
        this.#replace(covers, update.kvs);
        yield isUnrelated ? { ...update, unrelated: true } : update;
        continue;
      }
      if (update.type === 'events') this.#apply(update.events);
      yield update;
    }
    this.#interrupted.delete(range);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inner[Symbol.asyncDispose]();
  }

  #noteContact(range: string, update: StoreUpdate): void {
    if (update.type === 'interrupted') this.#interrupted.add(range);
    else this.#interrupted.delete(range);
    const before = this.contact.value;
    const seen = 'revision' in update ? update.revision : 0n;
    const after: Contact = {
      connected: this.#interrupted.size === 0,
      revision: seen > before.revision || update.type === 'snapshot' ? seen : before.revision,
      ...(update.type === 'interrupted' ? { error: update.error } : before.error && { error: before.error }),
    };
    const isNews = after.connected !== before.connected || after.error !== before.error;
    if (isNews || after.revision !== before.revision) this.contact.set(after);
  }

  #replace(covers: (key: string) => boolean, kvs: readonly KeyValue[]): void {
    for (const key of this.#known.keys()) if (covers(key)) this.#known.delete(key);
    for (const kv of kvs) this.#known.set(kv.key, pack(kv));
    this.#onChange();
  }

  #apply(events: readonly StoreEvent[]): void {
    for (const event of events) {
      if (event.type === 'put') this.#known.set(event.kv.key, pack(event.kv));
      else this.#known.delete(event.key);
    }
    this.#onChange();
  }
}

/** One string, a third of the memory that an object with its bytes and its four large numbers takes. */
function pack({ createRevision, modRevision, version, lease, value }: KeyValue): string {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1');
  return [createRevision, modRevision, version, lease, bytes].join(' ');
}

function unpack(key: string, packed: string): KeyValue {
  const numbers = packed.split(' ', 4);
  const [createRevision = 0n, modRevision = 0n, version = 0n, lease = 0n] = numbers.map(BigInt);
  const value = Buffer.from(packed.slice(numbers.join(' ').length + 1), 'latin1');
  return { key, value, createRevision, modRevision, version, lease };
}

const byKey = (a: KeyValue, b: KeyValue) => (a.key < b.key ? -1 : 1);
