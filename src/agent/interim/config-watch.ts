import { ConfigError, type Problem } from '../../base/errors.ts';
import { Latest } from '../../base/latest.ts';
import { type NetworkConfig, parseNetworkConfig } from '../../subnet/config.ts';
import type { Registry } from '../../subnet/registry.ts';
export type ConfigReading =
  | { readonly state: 'unknown' }
  | { readonly state: 'missing' }
  | { readonly state: 'valid'; readonly config: NetworkConfig; readonly warnings: readonly Problem[] }
  | { readonly state: 'invalid'; readonly problems: readonly Problem[] };
export class ConfigWatch {
  readonly reading = new Latest<ConfigReading>({ state: 'unknown' });
  readonly #registry: Registry;
  constructor(registry: Registry) {
    this.#registry = registry;
  }
  async run(signal: AbortSignal): Promise<void> {
    const { store, configKey } = this.#registry;
    for await (const update of store.observe(configKey, { signal, exact: true })) {
      if (update.type === 'snapshot') this.#read(update.kvs[0]?.value);
      if (update.type === 'events')
        for (const event of update.events) this.#read(event.type === 'put' ? event.kv.value : undefined);
    }
  }
  #read(value: Uint8Array | undefined): void {
    if (value === undefined) return this.reading.set({ state: 'missing' });
    try {
      this.reading.set({ state: 'valid', ...parseNetworkConfig(new TextDecoder().decode(value)) });
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.reading.set({ state: 'invalid', problems: error.problems });
    }
  }
}
