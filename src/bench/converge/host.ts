/**
 * A host of `bench converge` inside this process: a network namespace, a netlink connection and a connection to the
 * store of its own, and the parts of an agent between the two, joined as the agent joins them. What it does not
 * have is a lease, a firewall and files, which take no part in what is measured.
 */

import type { Backend } from '../../backend/backend.ts';
import { createBackend } from '../../backend/registry.ts';
import { silentLogger } from '../../base/log.ts';
import type { DataPlane } from '../../dataplane/data-plane.ts';
import { openDataPlane } from '../../dataplane/open-data-plane.ts';
import { PeerMapper } from '../../network/peer-mapper.ts';
import { EtcdStore } from '../../store/etcd/etcd-store.ts';
import type { StoreUpdate } from '../../store/store.ts';
import { PeerTracker } from '../../subnet/peers/peers.ts';
import { Registry } from '../../subnet/registry.ts';
import { sysctlsOf } from '../../sys/sysctl.ts';
import { BenchHost, OWN_ADDRESS, OWN_SUBNET } from '../program/bench-host.ts';
import { CONFIG, PREFIX } from './cluster.ts';
import type { HostStep } from './trace.ts';

/** Called with every step of every lease, by its key. */
export type OnStep = (step: HostStep, key: string) => void;

/** A store that reports when an observer gets the event of a key. */
class ObservedStore extends EtcdStore {
  readonly #onHeard: (path: string) => void;

  constructor(endpoint: string, onHeard: (path: string) => void) {
    super({ endpoints: [endpoint] });
    this.#onHeard = onHeard;
  }

  override async *observe(...args: Parameters<EtcdStore['observe']>): AsyncGenerator<StoreUpdate, void> {
    for await (const update of super.observe(...args)) {
      if (update.type === 'events') {
        for (const event of update.events) if (event.type === 'put') this.#onHeard(event.kv.key);
      }
      yield update;
    }
  }
}

export class InProcessHost implements AsyncDisposable {
  readonly benchHost: BenchHost;
  readonly #store: ObservedStore;
  readonly #tracker: PeerTracker;
  readonly #dataPlane: DataPlane;
  readonly #mapper: PeerMapper;
  readonly #onStep: OnStep;
  readonly #stop = new AbortController();
  readonly #running: Promise<unknown>;

  private constructor(benchHost: BenchHost, endpoint: string, onStep: OnStep) {
    this.benchHost = benchHost;
    this.#onStep = onStep;
    this.#store = new ObservedStore(endpoint, path => onStep('received', registry.keyOf(path)));
    const registry = new Registry(this.#store, { prefix: PREFIX });
    const { netns, rtnetlink } = benchHost;
    this.#dataPlane = openDataPlane({
      rtnetlink,
      logger: silentLogger,
      sysctls: sysctlsOf(netns),
    });
    const backend = backendOf(benchHost);
    const network = this.#dataPlane.network('benchmark');
    network.setHost(backend.host({ ipv4: OWN_SUBNET }));
    this.#mapper = new PeerMapper(network, (key, problems) => {
      throw new Error(`the lease ${key} cannot be used: ${problems.join('; ')}`);
    });
    this.#mapper.use(backend);
    const self = { ...backend.attributes(), publicIp: { ipv4: OWN_ADDRESS }, hostId: 'ours' };
    this.#tracker = new PeerTracker(registry, { config: CONFIG, self });
    this.#running = Promise.all([this.#tracker.run(this.#stop.signal), this.#follow()]);
  }

  /** Follows the store from now on. */
  static async open(endpoint: string, onStep: OnStep): Promise<InProcessHost> {
    return new InProcessHost(await BenchHost.create(), endpoint, onStep);
  }

  /** Rejects when the host has failed. */
  get running(): Promise<unknown> {
    return this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.allSettled([this.#running]);
    await this.#store[Symbol.asyncDispose]();
    await this.#dataPlane[Symbol.asyncDispose]();
    await this.benchHost[Symbol.asyncDispose]();
  }

  async #follow(): Promise<void> {
    const applying = new Set<Promise<void>>();
    for await (const { changed, removed } of this.#tracker.changes(this.#stop.signal)) {
      for (const { key } of changed) this.#onStep('checked', key);
      this.#mapper.change(changed, removed);
      const round = this.#apply(changed.map(({ key }) => key)).finally(() => applying.delete(round));
      applying.add(round);
    }
    await Promise.all(applying);
  }

  async #apply(keys: readonly string[]): Promise<void> {
    const { inSync, failures } = await this.#dataPlane.apply();
    if (!inSync && failures.length > 0) throw new Error(`the kernel refuses: ${failures[0]}`);
    for (const key of keys) this.#onStep('applied', key);
  }
}

function backendOf(benchHost: BenchHost): Backend {
  return createBackend({
    config: CONFIG,
    underlay: {
      link: { index: benchHost.underlayIndex, name: 'eth0', mtu: 1500 },
      ip: { ipv4: OWN_ADDRESS },
      publicIp: { ipv4: OWN_ADDRESS },
    },
    defaultVxlanPort: 8472,
    identity: { hostId: 'ours', mac: () => benchHost.device.mac },
  });
}
