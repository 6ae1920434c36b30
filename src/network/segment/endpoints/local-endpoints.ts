/**
 * Which addresses of an L2 network the stations of this host have. A station says so itself (ARP, neighbor discovery),
 * or it is known from who attached it. What was only said is asked again when there is reason for doubt: the bridge has
 * forgotten the station, or another station says that it has the address.
 *
 *     said ──> present ──station forgotten, rival──> doubted ──answers──> present
 *                                                        ├──no answer to three probes──> gone
 *                                                        └──its port is deleted────────> gone
 *
 * Pure: facts in, endpoints and probes out. It decides nothing about other hosts: whether an address is another one's is
 * known to the store.
 */
import type { Ip } from '../../../base/ip.ts';
import type { Mac } from '../../../base/mac.ts';

/** An address of a station of this host. */
export interface LocalEndpoint {
  readonly ip: Ip;
  readonly mac: Mac;
  /** Of the container, where it is known. */
  readonly container: string | undefined;
}

/** What this host itself has attached, or what Docker says it has. */
export interface AttachedEndpoint extends LocalEndpoint {
  readonly container: string;
  /** Who attached it says how it is called (src/network/attachment). */
  readonly isNamed?: boolean;
}

export interface LocalEndpointsOptions {
  /** Whether a station of the network can have this address. */
  readonly isUsable: (ip: Ip) => boolean;
  /** Whether this MAC address is that of a station of this host now. */
  readonly isLocal: (mac: Mac) => boolean;
}

interface Entry extends LocalEndpoint {
  readonly isAttached: boolean;
  /** Absent while there is no doubt. */
  doubt?: { asked: number; due: number; readonly port?: number };
}

/** Milliseconds between two probes, and how many are not answered before an address counts as gone. */
const PROBE_INTERVAL = 1000;
const PROBES = 3;

/** More than a station has, unless it claims what is not its own. */
const MOST_OF_A_STATION = 32;
/** What was said by stations that the bridge has not announced yet. */
const MOST_UNCONFIRMED = 512;
/** Searches for addresses at one time. */
const MOST_SEARCHES = 64;

export class LocalEndpoints {
  readonly #options: LocalEndpointsOptions;
  /** By `Ip.key`. */
  readonly #entries = new Map<number | bigint, Entry>();
  /** What stations said whose MAC address is not a local one, or not yet; the newest last. By `Ip.key`. */
  readonly #unconfirmed = new Map<number | bigint, { readonly ip: Ip; readonly mac: Mac }>();
  /** Addresses that a station looks for and that nobody is known to have, by `Ip.key`: when the search began. */
  readonly #wanted = new Map<number | bigint, { readonly ip: Ip; asked: boolean; readonly until: number }>();

  constructor(options: LocalEndpointsOptions) {
    this.#options = options;
  }

  /** In no order. */
  get endpoints(): readonly LocalEndpoint[] {
    return [...this.#entries.values()];
  }

  /** Stations of this host that use an address of another station of this host. */
  get rivals(): readonly { readonly ip: Ip; readonly mac: Mac; readonly owner: LocalEndpoint }[] {
    return [...this.#unconfirmed.values()].flatMap(({ ip, mac }) => {
      const owner = this.#entries.get(ip.key);
      return owner !== undefined && this.#options.isLocal(mac) ? [{ ip, mac, owner }] : [];
    });
  }

  get(ip: Ip): LocalEndpoint | undefined {
    return this.#entries.get(ip.key);
  }

  /** What an earlier run of the agent had published: true until it does not answer. */
  remember(endpoint: LocalEndpoint, now: number): void {
    if (this.#entries.has(endpoint.ip.key) || !this.#options.isUsable(endpoint.ip)) return;
    const entry: Entry = { ...endpoint, isAttached: false };
    if (!this.#options.isLocal(endpoint.mac)) entry.doubt = { asked: 0, due: now };
    this.#entries.set(endpoint.ip.key, entry);
  }

  /** Everything that is known from who attached it; what was known so before and is not any more is gone. */
  setAttached(endpoints: readonly AttachedEndpoint[]): void {
    const attached = new Set(endpoints.map(({ ip }) => ip.key));
    for (const [key, entry] of this.#entries) {
      if (entry.isAttached && !attached.has(key)) this.#entries.delete(key);
    }
    for (const endpoint of endpoints) {
      if (this.#options.isUsable(endpoint.ip))
        this.#entries.set(endpoint.ip.key, { ...endpoint, isAttached: true });
    }
  }

  /** A frame said that the station with this MAC address has the address. */
  said(ip: Ip, mac: Mac, now: number): void {
    if (!this.#options.isUsable(ip)) return;
    const entry = this.#entries.get(ip.key);
    if (entry?.mac.equals(mac)) {
      delete entry.doubt;
      return;
    }
    if (entry !== undefined && !this.#mayReplace(entry)) {
      // Asked once for each rival: both may answer for as long as they are there.
      const isNew = this.#unconfirmed.get(ip.key)?.mac.equals(mac) !== true;
      if (isNew && !entry.isAttached) entry.doubt ??= { asked: 0, due: now };
      return this.#keepUnconfirmed(ip, mac);
    }
    if (this.#options.isLocal(mac)) this.#enter(ip, mac);
    else this.#keepUnconfirmed(ip, mac);
  }

  /** A station looks for this address, which no other host is known to have. */
  wanted(ip: Ip, now: number): void {
    if (this.#entries.has(ip.key) || this.#wanted.has(ip.key) || !this.#options.isUsable(ip)) return;
    if (this.#wanted.size < MOST_SEARCHES)
      this.#wanted.set(ip.key, { ip, asked: false, until: now + PROBE_INTERVAL });
  }

  /** The bridge has learned a station. */
  stationCame(mac: Mac): void {
    for (const { ip, mac: sayer } of this.#unconfirmed.values()) {
      if (!sayer.equals(mac)) continue;
      const entry = this.#entries.get(ip.key);
      if (entry === undefined || this.#mayReplace(entry)) this.#enter(ip, mac);
    }
  }

  /**
   * The bridge has forgotten a station: it is silent, or its port is gone.
   * @param port index of the link behind which it was
   */
  stationWent(mac: Mac, port: number, now: number): void {
    for (const [key, rival] of this.#unconfirmed) if (rival.mac.equals(mac)) this.#unconfirmed.delete(key);
    for (const entry of this.#entries.values()) {
      if (entry.mac.equals(mac) && !entry.isAttached)
        entry.doubt = { asked: 0, due: now, ...entry.doubt, port };
    }
  }

  /** A link was deleted. What was behind it and has no other port is gone, and is not asked. */
  portDeleted(port: number): void {
    for (const [key, { mac, doubt }] of this.#entries) {
      if (doubt?.port !== port || this.#options.isLocal(mac)) continue;
      this.#entries.delete(key);
      this.#succeed(key);
    }
  }

  /** What is to be asked now. Addresses that did not answer are gone. */
  probesDue(now: number): readonly Ip[] {
    const probes: Ip[] = [];
    for (const [key, { ip, doubt }] of this.#entries) {
      if (doubt === undefined || doubt.due > now) continue;
      if (doubt.asked === PROBES) {
        this.#entries.delete(key);
        this.#succeed(key);
      } else {
        doubt.asked++;
        doubt.due = now + PROBE_INTERVAL;
        probes.push(ip);
      }
    }
    for (const [key, search] of this.#wanted) {
      if (search.until <= now) this.#wanted.delete(key);
      else if (!search.asked) {
        search.asked = true;
        probes.push(search.ip);
      }
    }
    return probes;
  }

  /** When `probesDue` has something to do; infinite when it has not. */
  get due(): number {
    const doubts = [...this.#entries.values()].map(({ doubt }) => doubt?.due ?? Number.POSITIVE_INFINITY);
    const searches = [...this.#wanted.values()].map(({ asked, until }) =>
      asked ? until : Number.NEGATIVE_INFINITY,
    );
    return Math.min(...doubts, ...searches);
  }

  /** An answer is needed for as long as its station may still give one. */
  #mayReplace({ isAttached, mac, doubt }: Entry): boolean {
    return !isAttached && doubt !== undefined && !this.#options.isLocal(mac);
  }

  #enter(ip: Ip, mac: Mac): void {
    this.#unconfirmed.delete(ip.key);
    this.#wanted.delete(ip.key);
    const own = [...this.#entries.values()].filter(entry => entry.mac.equals(mac));
    if (own.length >= MOST_OF_A_STATION && !this.#entries.has(ip.key)) return;
    this.#entries.set(ip.key, { ip, mac, container: undefined, isAttached: false });
  }

  /** The address of one that is gone may be that of a station that has said so before. */
  #succeed(key: number | bigint): void {
    const rival = this.#unconfirmed.get(key);
    if (rival !== undefined && this.#options.isLocal(rival.mac)) this.#enter(rival.ip, rival.mac);
  }

  #keepUnconfirmed(ip: Ip, mac: Mac): void {
    this.#unconfirmed.delete(ip.key);
    this.#unconfirmed.set(ip.key, { ip, mac });
    for (const key of this.#unconfirmed.keys()) {
      if (this.#unconfirmed.size <= MOST_UNCONFIRMED) break;
      this.#unconfirmed.delete(key);
    }
  }
}
