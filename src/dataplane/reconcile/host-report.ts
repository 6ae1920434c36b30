/** What is reported of all networks on this host, of one of them, and of one peer. */
import type { PeerPath } from '../desired.ts';
import type { Host } from '../links/host.ts';
import type { Programs } from '../links/programs.ts';
import type { LinkReport, NetworkReport, PeerReport } from '../report.ts';
import type { EntryReport } from '../tables/table-entry.ts';
import type { LinkEntries } from './link-entries.ts';
import {
  type AssignedLink,
  type DesiredNetwork,
  pathObstacle,
  pathsWithoutLink,
  refusedLinks,
} from './networks.ts';
import type { OwnedPath } from './path-entries.ts';

/** What the reports are read from. */
export interface HostParts {
  readonly host: Host;
  readonly programs: Programs;
  readonly networks: ReadonlyMap<string, DesiredNetwork>;
  readonly entries: ReadonlyMap<string, LinkEntries>;
  /** The links that networks have, by name. */
  readonly links: () => ReadonlyMap<string, AssignedLink>;
}

/** What could not be done, and whom it concerns. */
interface HostFailure {
  readonly text: string;
  readonly networks: readonly DesiredNetwork[];
}

const MOST_FAILURES = 100;

export class HostReport {
  readonly #parts: HostParts;

  constructor(parts: HostParts) {
    this.#parts = parts;
  }

  /** Entries that are wanted. */
  get wanted(): number {
    let sum = this.#parts.host.wanted + this.#parts.programs.wanted;
    for (const network of this.#parts.networks.values()) sum += this.#withoutLink(network);
    for (const entries of this.#parts.entries.values()) sum += entries.wanted;
    return sum;
  }

  /** Of these, how many are refused, or cannot be programmed. */
  get failed(): number {
    let sum = this.#parts.host.failed + this.#parts.programs.failed;
    for (const network of this.#parts.networks.values()) sum += this.#withoutLink(network);
    for (const entries of this.#parts.entries.values()) sum += entries.failed;
    return sum;
  }

  get inSync(): boolean {
    const areComplete = Array.from(this.#parts.networks.values()).every(
      network => this.#withoutLink(network) === 0,
    );
    return (
      areComplete &&
      this.#parts.host.inSync &&
      this.#parts.programs.inSync &&
      Array.from(this.#parts.entries.values()).every(entries => entries.inSync)
    );
  }

  /** What could not be done, in words: at most the first 100. */
  failures(): string[] {
    const failures: string[] = [];
    for (const { text } of this.#failures()) if (failures.push(text) === MOST_FAILURES) break;
    return failures;
  }

  links(): LinkReport[] {
    const refused = Array.from(this.#parts.networks.values()).flatMap(network => [
      ...refusedLinks(network, this.#links),
    ]);
    return [...this.#parts.host.report(), ...refused];
  }

  networkReport(network: DesiredNetwork): NetworkReport {
    const used = this.#parts.host.report().filter(({ name }) => this.#users(name).includes(network));
    const links = [...used, ...refusedLinks(network, this.#links)];
    const failures = Array.from(this.#failures()).filter(({ networks }) => networks.includes(network));
    const entries = used.flatMap(({ name }) => this.#parts.entries.get(name) ?? []);
    const isStale = this.#parts.host.isStale || this.#parts.programs.isStale;
    const isDone = !isStale && entries.every(one => one.isDoneFor(network));
    const ofEntries = entries.reduce((sum, one) => sum + one.wantedBy(network), 0);
    const ofPrograms = network.host.programs?.length ?? 0;
    return {
      name: network.name,
      inSync: isDone && failures.length === 0 && links.every(({ inSync }) => inSync),
      wanted: this.#parts.host.wantedBy(network.name) + this.#withoutLink(network) + ofPrograms + ofEntries,
      failed: failures.length,
      failures: failures.slice(0, MOST_FAILURES).map(({ text }) => text),
      links,
    };
  }

  /** undefined for a key that is not stated. */
  peerReport(network: DesiredNetwork, key: string): PeerReport | undefined {
    const peer = network.peers.get(key);
    if (peer === undefined) return undefined;
    const paths = peer.paths.filter(({ receivesOnly = false }) => !receivesOnly);
    const entries = paths.flatMap(path => this.#inspect({ network, peer, path }));
    const waiting = this.#parts.host
      .report()
      .find(({ name, inSync }) => !inSync && paths.some(({ link }) => link === name));
    const failed = entries.find(({ state }) => state === 'failed');
    const isOk = entries.length > 0 && entries.every(({ state }) => state === 'ok') && waiting === undefined;
    const reason =
      waiting === undefined ? failed?.reason : `${waiting.name}: ${waiting.reason ?? 'not there yet'}`;
    return {
      key,
      state: failed !== undefined ? 'failed' : isOk || paths.length === 0 ? 'ok' : 'pending',
      links: [...new Set(paths.filter(hasRoute).map(({ link }) => link))],
      desired: entries.map(({ desired }) => desired),
      actual: entries.map(({ actual }) => actual).filter(actual => actual !== undefined),
      ...(reason === undefined ? {} : { reason }),
    };
  }

  *#failures(): Generator<HostFailure> {
    for (const { text, link } of this.#parts.host.failures()) yield { text, networks: this.#users(link) };
    for (const { text, networks } of this.#parts.programs.failures()) {
      yield { text, networks: networks.flatMap(name => this.#parts.networks.get(name) ?? []) };
    }
    for (const network of this.#parts.networks.values()) {
      const networks = [network];
      for (const { name, reason } of refusedLinks(network, this.#links)) {
        yield { text: `link ${name}: ${reason}`, networks };
      }
      for (const [link] of network.peers.links()) {
        if (this.#users(link).includes(network)) continue;
        for (const [{ key }, path] of network.peers.over(link)) {
          yield { text: `peer ${key}: ${pathObstacle(network, path, this.#links)}`, networks };
        }
      }
    }
    for (const [name, entries] of this.#parts.entries) {
      for (const { text, network } of entries.failures()) {
        const users = this.#users(name);
        yield { text, networks: network === undefined ? users : users.filter(user => user.name === network) };
      }
    }
  }

  /** What a network wants and cannot have for want of a link of its own. */
  #withoutLink(network: DesiredNetwork): number {
    let sum = pathsWithoutLink(network, this.#links);
    for (const _ of refusedLinks(network, this.#links)) sum++;
    return sum;
  }

  #inspect(owned: OwnedPath & { readonly network: DesiredNetwork }): EntryReport[] {
    const { network, path } = owned;
    const reason = pathObstacle(network, path, this.#links);
    if (reason === undefined) return this.#parts.entries.get(path.link)?.inspect(owned) ?? [];
    return [{ desired: `path ${path.subnet} dev ${path.link}`, state: 'failed', reason }];
  }

  #users(link: string): readonly DesiredNetwork[] {
    return this.#links.get(link)?.users ?? [];
  }

  get #links(): ReadonlyMap<string, AssignedLink> {
    return this.#parts.links();
  }
}

/** Without one nothing is sent over the path, and its other entries stand ready for a route. */
const hasRoute = ({ entries }: PeerPath) => entries.some(({ kind }) => kind === 'route');
