import { AsyncQueue } from '../../base/async-queue.ts';
import type { NetworkConfig } from '../../subnet/config.ts';
import { isLease, type Lease, type LeaseAttributes, type RejectedLease } from '../../subnet/lease.ts';
import { checkLease } from '../../subnet/lease-check.ts';
import type { Registry } from '../../subnet/registry.ts';

type Own = LeaseAttributes & { readonly hostId: string };
export interface PeerChange {
  readonly changed: readonly Lease[];
  readonly removed: readonly string[];
}
export class PeerTracker {
  readonly #registry: Registry;
  #options: { config: NetworkConfig; self: Own };
  readonly #queue = new AsyncQueue<PeerChange>();
  readonly #known = new Set<string>();
  readonly #rejected = new Map<string, RejectedLease>();
  constructor(registry: Registry, options: { config: NetworkConfig; self: Own }) {
    this.#registry = registry;
    this.#options = options;
  }
  rejected(): Iterable<RejectedLease> {
    return this.#rejected.values();
  }
  update(options: { config: NetworkConfig; self: Own }): void {
    this.#options = options;
  }
  async run(signal: AbortSignal): Promise<void> {
    const { store, subnetsPrefix } = this.#registry;
    for await (const update of store.observe(subnetsPrefix, { signal })) {
      const changed: Lease[] = [];
      const removed: string[] = [];
      const drop = (key: string) => {
        if (this.#known.delete(key)) removed.push(key);
      };
      const put = (kv: Parameters<Registry['decode']>[0]) => {
        const decoded = this.#registry.decode(kv);
        if (isLease(decoded) && decoded.attributes.hostId === this.#options.self.hostId)
          return drop(decoded.key);
        const { config, self } = this.#options;
        const ownAddresses = [self.publicIp, self.publicIpv6].filter(ip => ip !== undefined);
        const lease = isLease(decoded) ? checkLease(decoded, { config, ownAddresses }) : decoded;
        if (isLease(lease)) {
          this.#rejected.delete(lease.key);
          this.#known.add(lease.key);
          changed.push(lease);
        } else {
          this.#rejected.set(lease.key, lease);
          drop(lease.key);
        }
      };
      if (update.type === 'snapshot') {
        const gone = new Set(this.#known);
        for (const kv of update.kvs) {
          put(kv);
          gone.delete(this.#registry.keyOf(kv.key));
        }
        for (const key of gone) drop(key);
        this.#queue.push({ changed, removed });
      }
      if (update.type === 'events') {
        for (const event of update.events) {
          if (event.type === 'put') put(event.kv);
          else {
            this.#rejected.delete(this.#registry.keyOf(event.key));
            drop(this.#registry.keyOf(event.key));
          }
        }
        this.#queue.push({ changed, removed });
      }
    }
  }
  changes(signal: AbortSignal): AsyncGenerator<PeerChange, void> {
    return this.#queue.consume(signal);
  }
}
