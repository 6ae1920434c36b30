/** Names by all that is asked of them. One more or less costs the same however many there are. */
import type { Ip } from '../../base/ip.ts';
import type { KnownNames, NamedAddress } from './names.ts';

/** The addresses of one name. */
class AddressesOfName {
  readonly #byKey = new Map<number | bigint, Ip>();
  /** Undefined when it is out of date. */
  #list: readonly Ip[] | undefined;

  get list(): readonly Ip[] {
    this.#list ??= [...this.#byKey.values()];
    return this.#list;
  }

  add(ip: Ip): void {
    this.#byKey.set(ip.key, ip);
    this.#list = undefined;
  }

  /** @returns whether none is left */
  remove(ip: Ip): boolean {
    this.#byKey.delete(ip.key);
    this.#list = undefined;
    return this.#byKey.size === 0;
  }
}

export class NameTable implements KnownNames {
  /** Names of all networks; one that several addresses have counts once. */
  get count(): number {
    return [...this.#addresses.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** Network -> name -> addresses. */
  readonly #addresses = new Map<string, Map<string, AddressesOfName>>();
  /** Address -> what it is called on each network. */
  readonly #reverse = new Map<number | bigint, readonly NamedAddress[]>();

  lookup(network: string, name: string): readonly Ip[] {
    return this.#addresses.get(network)?.get(name)?.list ?? [];
  }

  reverse(ip: Ip): readonly { readonly network: string; readonly name: string }[] {
    const named = this.#reverse.get(ip.key) ?? [];
    return named.flatMap(({ network, names }) => names.map(name => ({ network, name })));
  }

  hasNetwork(network: string): boolean {
    return this.#addresses.has(network);
  }

  add(named: NamedAddress): void {
    const { network, ip, names } = named;
    const ofNetwork = this.#addresses.get(network) ?? new Map<string, AddressesOfName>();
    this.#addresses.set(network, ofNetwork);
    for (const name of names) {
      const addresses = ofNetwork.get(name) ?? new AddressesOfName();
      ofNetwork.set(name, addresses);
      addresses.add(ip);
    }
    this.#reverse.set(ip.key, [...(this.#reverse.get(ip.key) ?? []), named]);
  }

  /** @param named what was added */
  remove(named: NamedAddress): void {
    const { network, ip, names } = named;
    const ofNetwork = this.#addresses.get(network);
    for (const name of names) if (ofNetwork?.get(name)?.remove(ip) === true) ofNetwork.delete(name);
    if (ofNetwork?.size === 0) this.#addresses.delete(network);
    const left = this.#reverse.get(ip.key)?.filter(other => other !== named) ?? [];
    if (left.length > 0) this.#reverse.set(ip.key, left);
    else this.#reverse.delete(ip.key);
  }
}
