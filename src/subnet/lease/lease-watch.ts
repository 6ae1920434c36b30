/** What a LeaseHolder waits for in the store: a change of its key, or a subnet that becomes free. */
import type { Wakeup } from '../../base/wakeup.ts';
import type { Registry } from '../registry.ts';
import type { Lease, RejectedLease } from './lease.ts';

/** Milliseconds after which a full network is listed again, even without a notice that a subnet was freed. */
const FULL_RECHECK = 60_000;

export interface KeyNotices {
  /**
   * The value of the key after each change; undefined when the key is gone, or when the store's history was lost, so
   * that revisions cannot be compared.
   */
  readonly seen: (found: Lease | RejectedLease | undefined) => void;
  readonly resumed: () => void;
}

/** Watches one key until it is disposed of. */
export class KeyWatch implements AsyncDisposable {
  readonly key: string;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(registry: Registry, key: string, notices: KeyNotices) {
    this.key = key;
    this.#done = this.#follow(registry, notices);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #follow(registry: Registry, { seen, resumed }: KeyNotices): Promise<void> {
    let first = true;
    const { signal } = this.#stop;
    for await (const update of registry.store.observe(registry.pathOf(this.key), { signal, exact: true })) {
      if (update.type === 'snapshot') {
        const [kv] = update.kvs;
        seen(first && kv !== undefined ? registry.decode(kv) : undefined);
        first = false;
      } else if (update.type === 'events') {
        const last = update.events.at(-1);
        seen(last?.type === 'put' ? registry.decode(last.kv) : undefined);
      } else if (update.type === 'resumed') resumed();
    }
  }
}

/** Returns when a subnet may have become free, when `wakeup` ends the pause, or after a minute. */
export async function untilFreed(registry: Registry, wakeup: Wakeup, signal: AbortSignal): Promise<void> {
  const stop = new AbortController();
  const watching = watchFreed(registry, AbortSignal.any([signal, stop.signal]), () => wakeup.wake());
  await wakeup.pause(FULL_RECHECK, signal);
  stop.abort();
  await watching;
}

async function watchFreed(registry: Registry, signal: AbortSignal, freed: () => void): Promise<void> {
  let first = true;
  for await (const update of registry.store.observe(registry.subnetsPrefix, { signal })) {
    const deleted = update.type === 'events' && update.events.some(event => event.type === 'delete');
    // A second snapshot means that history was lost, and with it perhaps a deletion.
    if (deleted || (update.type === 'snapshot' && !first)) freed();
    if (update.type === 'snapshot') first = false;
  }
}
