/** The network's configuration, live from the store: validated each time it is written. */
import { bytesEqual } from '../../base/bytes.ts';
import { ConfigError, type Problem } from '../../base/errors.ts';
import { Watchable } from '../../base/watchable.ts';
import type { KeyValue } from '../../store/store.ts';
import type { Registry } from '../registry.ts';
import { type BackendCheck, type NetworkConfig, parseNetworkConfig } from './config.ts';

export type ConfigReading =
  /** The store has not answered yet. */
  | { readonly state: 'unknown' }
  /** There is no configuration: it was never written, or was deleted. */
  | { readonly state: 'missing' }
  | {
      readonly state: 'valid';
      readonly config: NetworkConfig;
      readonly warnings: readonly Problem[];
      /** What it was read from. */
      readonly value: Uint8Array;
    }
  | { readonly state: 'invalid'; readonly problems: readonly Problem[] };

export class ConfigWatch {
  /** Changes with the text of the configuration, and not when the same text is written again. */
  readonly reading = new Watchable<ConfigReading>({ state: 'unknown' });
  readonly #registry: Registry;
  readonly #checkBackend: BackendCheck | undefined;
  #value: Uint8Array | undefined;

  /** @param checkBackend finds what is wrong with the Backend, so that all problems are reported together. */
  constructor(registry: Registry, checkBackend?: BackendCheck) {
    this.#registry = registry;
    this.#checkBackend = checkBackend;
  }

  /** Follows the store until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, configKey } = this.#registry;
    for await (const update of store.observe(configKey, { signal, exact: true })) {
      if (update.type === 'snapshot') this.#take(update.kvs[0]);
      else if (update.type === 'events') {
        const last = update.events.at(-1);
        this.#take(last?.type === 'put' ? last.kv : undefined);
      }
    }
  }

  #take(kv: KeyValue | undefined): void {
    const before = this.#value;
    this.#value = kv?.value;
    if (kv === undefined) return this.reading.set({ state: 'missing' });
    if (before !== undefined && bytesEqual(before, kv.value)) return;
    this.reading.set(readConfig(kv.value, this.#checkBackend));
  }
}

/** A byte order mark is no JSON, neither for flannel. */
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** What the value of the configuration key says. */
export function readConfig(
  value: Uint8Array,
  checkBackend?: BackendCheck,
): Extract<ConfigReading, { state: 'valid' | 'invalid' }> {
  try {
    return { state: 'valid', ...parseNetworkConfig(utf8.decode(value), checkBackend), value };
  } catch (error) {
    if (error instanceof ConfigError) return { state: 'invalid', problems: error.problems };
    throw error;
  }
}
