/**
 * The stations on this host's side of an L2 network: which MAC address is behind which port of its bridge, as the bridge
 * itself has learned it. What is behind the tunnel is another host's.
 */
import type { Mac } from '../../../base/mac.ts';
import { NUD_PERMANENT } from '../../../netlink/route/constants.ts';
import type { FdbEntry } from '../../../netlink/route/objects.ts';

/** Indexes of the links of one segment. */
export interface BridgeLinks {
  readonly bridge: number;
  readonly tunnel: number;
}

export interface Station {
  readonly mac: Mac;
  /** Index of the link behind which it is. */
  readonly port: number;
}

export class Stations {
  readonly #links: BridgeLinks;
  /** By `Mac.key`. */
  readonly #stations = new Map<number, Station>();

  constructor(links: BridgeLinks) {
    this.#links = links;
  }

  get(mac: Mac): Station | undefined {
    return this.#stations.get(mac.key);
  }

  values(): Iterable<Station> {
    return this.#stations.values();
  }

  /** @returns the station that came, moved or went; undefined when the entry says nothing new about one */
  apply(entry: FdbEntry, gone: boolean): { readonly station: Station; readonly gone: boolean } | undefined {
    const before = this.#stations.get(entry.mac.key);
    if (gone) {
      if (before?.port !== entry.index || !this.#isStation(entry)) return undefined;
      this.#stations.delete(entry.mac.key);
      return { station: before, gone };
    }
    if (!this.#isStation(entry) || before?.port === entry.index) return undefined;
    const station = { mac: entry.mac, port: entry.index };
    this.#stations.set(entry.mac.key, station);
    return { station, gone };
  }

  /** @param entries all that the bridge has. @returns what changed, as `apply` */
  replace(entries: readonly FdbEntry[]): readonly { readonly station: Station; readonly gone: boolean }[] {
    const present = new Set(entries.filter(entry => this.#isStation(entry)).map(({ mac }) => mac.key));
    const lost = [...this.#stations.values()].filter(({ mac }) => !present.has(mac.key));
    for (const { mac } of lost) this.#stations.delete(mac.key);
    return [
      ...lost.map(station => ({ station, gone: true })),
      ...entries.flatMap(entry => this.apply(entry, false) ?? []),
    ];
  }

  /** Entries of the bridge's own links are permanent, and those of other hosts are behind the tunnel. */
  #isStation({ master, index, state, mac }: FdbEntry): boolean {
    const { bridge, tunnel } = this.#links;
    return (
      master === bridge && index !== bridge && index !== tunnel && state !== NUD_PERMANENT && mac.isUnicast
    );
  }
}
