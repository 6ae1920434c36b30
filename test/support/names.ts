/** What tests of names share: a host that publishes and knows names, running until it is disposed of. */
import { Ip } from '../../src/base/ip.ts';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import type { Store } from '../../src/store/store.ts';
import { NameKeys } from '../../src/subnet/names/name-key.ts';
import { NamePublisher } from '../../src/subnet/names/name-publisher.ts';
import { NameTable } from '../../src/subnet/names/name-table.ts';
import { NameWatch, type RejectedNames } from '../../src/subnet/names/name-watch.ts';
import type { OwnNamedAddress } from '../../src/subnet/names/names.ts';
import type { ManualClock } from '../../src/testing/manual-clock.ts';
import { deadline } from './eventually.ts';

export const nameKeys = new NameKeys(NETWORK_PREFIX);

/** @param text `blue 10.9.1.2 web api` */
export function namedOf(text: string): OwnNamedAddress {
  const [network = '', ip = '', ...names] = text.split(' ');
  return { network, ip: Ip.parse(ip), names };
}

/** Names as the resolver asks for them. @param texts each `blue 10.9.1.2 web api` */
export function namesInMemory(...texts: readonly string[]): NameTable {
  const table = new NameTable();
  for (const text of texts) table.add({ ...namedOf(text), hostId: 'host-1' });
  return table;
}

export class NameHostFixture<Of extends Store = Store> implements AsyncDisposable {
  readonly store: Of;
  readonly watch: NameWatch;
  readonly publisher: NamePublisher;
  readonly rejected: RejectedNames[] = [];
  readonly #ownsStore: boolean;
  readonly #end = new AbortController();
  readonly #running: Promise<unknown>;

  /** @param number of the host, or its id; the store is disposed of by the host only where it has a number */
  constructor(number: number | string, store: Of, clock?: ManualClock) {
    this.store = store;
    const common = { store, keys: nameKeys, ...(clock && { clock }) };
    this.watch = new NameWatch({ ...common, onRejected: one => this.rejected.push(one) });
    const host =
      typeof number === 'string'
        ? { hostId: number }
        : { hostId: `host-${number}`, hostName: `docker${number}` };
    this.#ownsStore = typeof number === 'number';
    this.publisher = new NamePublisher(this.watch, { ...common, host });
    const { signal } = this.#end;
    this.#running = Promise.all([this.watch.run(signal), this.publisher.run(signal)]);
  }

  /** @param texts each `blue 10.9.1.2 web api` */
  state(...texts: readonly string[]): void {
    this.publisher.set(texts.map(namedOf));
  }

  /** Addresses of a name, sorted. */
  lookup(network: string, name: string): readonly string[] {
    return this.watch.lookup(network, name).map(String).sort();
  }

  /** Resolves when the lookup has this result. */
  async until(network: string, name: string, ...ips: readonly string[]): Promise<void> {
    await this.watch.version.until(
      () => this.lookup(network, name).join() === ips.join(),
      deadline(`${name} is ${ips.join()}`),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#running;
    if (this.#ownsStore) await this.store[Symbol.asyncDispose]();
  }
}
