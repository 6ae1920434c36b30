/** Which public addresses several peers publish, each told once for every peer that joins in. */
import { Ip } from '../../base/ip.ts';

export interface SharedAddress {
  readonly address: Ip;
  readonly keys: readonly string[];
}

export class SharedAddresses {
  readonly #report: (shared: SharedAddress) => void;
  /** Keys of the peers that publish an address, by its text: almost always one. */
  readonly #holders = new Map<string, readonly string[]>();
  /** Of addresses that were reported as shared: those that were part of a report. */
  readonly #told = new Map<string, Set<string>>();

  constructor(report: (shared: SharedAddress) => void) {
    this.#report = report;
  }

  /** Addresses that more than one peer has. */
  *[Symbol.iterator](): Generator<SharedAddress, void> {
    for (const [text, keys] of this.#holders) if (keys.length > 1) yield { address: Ip.parse(text), keys };
  }

  /** The peers that publish this address. */
  keysOf(address: Ip): readonly string[] {
    return this.#holders.get(address.toString()) ?? [];
  }

  add(key: string, address: Ip): void {
    const text = address.toString();
    const keys = [...(this.#holders.get(text) ?? []), key];
    this.#holders.set(text, keys);
    if (keys.length < 2 || this.#told.get(text)?.has(key) === true) return;
    this.#told.set(text, new Set([...(this.#told.get(text) ?? []), ...keys]));
    this.#report({ address, keys });
  }

  delete(key: string, address: Ip): void {
    const text = address.toString();
    const keys = this.#holders.get(text)?.filter(other => other !== key) ?? [];
    if (keys.length > 0) this.#holders.set(text, keys);
    else {
      this.#holders.delete(text);
      this.#told.delete(text);
    }
  }
}
