/**
 * Names of containers on this host and in the cluster: what the parts of this host that attach containers say is put
 * together and published, and what the store has is known to whom it may concern.
 *
 *     attachments, endpoints of L2 networks ──> sources ──> NamePublisher ──> store ──> NameWatch ──> resolver
 */
import type { NameList } from '../api/names.ts';
import { together } from '../base/abort.ts';
import type { Clock } from '../base/clock.ts';
import { defined } from '../base/defined.ts';
import type { Ip } from '../base/ip.ts';
import { remembered } from '../base/remembered.ts';
import type { Store } from '../store/store.ts';
import { NameKeys } from '../subnet/names/name-key.ts';
import { type NameConflict, NamePublisher, type NamePublisherState } from '../subnet/names/name-publisher.ts';
import { NameWatch } from '../subnet/names/name-watch.ts';
import type { OwnNamedAddress, OwnNames } from '../subnet/names/names.ts';
import { nameOfHost } from '../subnet/segment/segment.ts';
import type { HealthReporter, OwnedWarning } from './reports.ts';

export interface ClusterNamesParts {
  readonly store: Store;
  readonly prefix: string;
  readonly hostId: string;
  readonly hostName: string | undefined;
  readonly health: HealthReporter;
  readonly clock: Clock;
}

/** What one part of this host has said. */
interface SaidNames {
  readonly named: readonly OwnNamedAddress[];
  readonly unknown: ReadonlySet<string>;
}

export class ClusterNames {
  readonly watch: NameWatch;
  readonly publisher: NamePublisher;
  readonly #health: HealthReporter;
  /** Undefined until it was stated for the first time. */
  readonly #said: (SaidNames | undefined)[] = [];
  /** By address; those of two networks with one address are the same container to whoever asks from it. */
  #own: ReadonlyMap<number | bigint, OwnNamedAddress> = new Map();
  /** By name of the container. */
  readonly #networksOf = new Map<string, Set<string>>();

  constructor({ store, prefix, hostId, hostName, health, clock }: ClusterNamesParts) {
    this.#health = health;
    const keys = new NameKeys(prefix);
    this.watch = new NameWatch({ store, keys, clock });
    const host = { hostId, ...defined({ hostName }) };
    this.publisher = new NamePublisher(this.watch, { store, keys, host, clock });
  }

  /**
   * Networks on which the container of this host is that has this address, the one of the address first; of other hosts
   * nobody asks here.
   */
  networksOf(ip: Ip): readonly string[] {
    const own = this.#own.get(ip.key);
    const all = own && this.#networksOf.get(own.names[0] ?? '');
    return own === undefined ? [] : [...new Set([own.network, ...(all ?? [])])];
  }

  /** All that the cluster has, and this host's own as they are now, in the order of networks and addresses. */
  list(): NameList {
    const inOrder = this.watch
      .all()
      .toSorted((a, b) => (a.network < b.network ? -1 : a.network > b.network ? 1 : 0) || a.ip.compare(b.ip));
    return inOrder.map(({ network, ip, names, hostId, hostName }) => ({
      network,
      address: `${ip}`,
      names: [...names],
      hostId,
      ...defined({ hostName }),
    }));
  }

  /** For one part of this host that knows containers. Of an address that two parts name, the names of both are published. */
  source(): OwnNames {
    const at = this.#said.push(undefined) - 1;
    return {
      set: (named, unknown = new Set()) => {
        this.#said[at] = { named, unknown };
        this.#state();
      },
    };
  }

  /** Until `signal` aborts; what is published stays. */
  async run(signal: AbortSignal): Promise<void> {
    await together(
      signal,
      until => this.watch.run(until),
      until => this.publisher.run(until),
      until => this.publisher.state.follow(state => this.#warn(state), until),
    );
  }

  #state(): void {
    const all = new Map<string, OwnNamedAddress>();
    for (const one of this.#said.flatMap(said => said?.named ?? [])) {
      const key = keyOf(one);
      const other = all.get(key);
      all.set(key, other === undefined ? one : { ...one, names: [...other.names, ...one.names] });
    }
    this.#own = new Map(Array.from(all.values(), one => [one.ip.key, one]));
    this.#networksOf.clear();
    for (const { names, network } of all.values()) {
      const networks = this.#networksOf.get(names[0] ?? '') ?? new Set<string>();
      this.#networksOf.set(names[0] ?? '', networks.add(network));
    }
    this.publisher.set([...all.values()], network =>
      this.#said.some(said => said === undefined || said.unknown.has(network)),
    );
  }

  #warn({ conflicts, failure }: NamePublisherState): void {
    const warnings = conflicts.map(conflictWarning);
    if (failure !== undefined && !failure.retriable) {
      warnings.push({
        id: 'refused',
        code: 'NAMES_NOT_PUBLISHED',
        severity: 'warning',
        title: 'names of containers of this host are not known to other hosts',
        text: `the store does not take them: ${failure.message}`,
      });
    }
    this.#health.warn('names', warnings);
  }
}

const keyOf = remembered(({ network, ip }: OwnNamedAddress) => `${network} ${ip}`);

function conflictWarning({ own: { network, ip, names }, owner }: NameConflict): OwnedWarning {
  const others = owner.names.join(', ');
  return {
    id: `${network} ${ip}`,
    code: 'NAMES_NOT_PUBLISHED',
    severity: 'warning',
    title: `${names.join(', ')} is not found by name on other hosts`,
    text: `${ip} in the network ${network} is that of ${others} on ${nameOfHost(owner)}, as the store says`,
  };
}
