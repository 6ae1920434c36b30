/**
 * The plugin as a whole: what Docker calls, what it tells outside of calls, and what of both is reported.
 *
 *     dockerd ── calls ──> PluginServer ─> IpamDriver, NetworkDriver ──┐
 *        └── events ─────> DockerFollower ─> names, what is left over ─┴─> Attachments
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { DockerNetworkStatus } from '../../api/networks.ts';
import { together } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import { isCode, messageOf } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import { Mac } from '../../base/mac.ts';
import type { DockerApi } from '../../docker/docker-api.ts';
import type { DockerNetworkState } from '../../docker/docker-messages.ts';
import type { Attachments } from '../../network/attachment/attachments.ts';
import type { HealthReporter } from '../../network/reports.ts';
import type { PassedSocket } from '../../sys/socket-activation.ts';
import { adoptNetwork } from './adopt-network.ts';
import { ClusterNetworks } from './cluster-networks.ts';
import { DockerFollower } from './docker-follower.ts';
import { IpamDriver } from './ipam-driver.ts';
import { NetworkDriver } from './network-driver.ts';
import { pluginCalls } from './plugin-calls.ts';
import { clusterNameOf, type PluginNetwork } from './plugin-network.ts';
import { DOCKER_NETWORKS_FILE, PluginNetworks } from './plugin-networks.ts';
import { dockerNetworkStatus, pluginWarnings, type StrangeNetwork } from './plugin-report.ts';
import { servePlugin } from './plugin-socket.ts';
import { RESOLVER_ROUTES_FILE, ResolverRoutes } from './resolver-routes.ts';

export interface DockerPluginParts {
  readonly attachments: Attachments;
  readonly docker: Pick<DockerApi, 'networks' | 'network' | 'events' | 'endpoints'>;
  /** Names of networks whose containers are to ask other servers for names themselves. */
  readonly notRedirected: { set(names: ReadonlySet<string>): void };
  readonly stateDirectory: string;
  /** Where Docker looks for the socket. */
  readonly path: string;
  /** Only where Docker's own directory is. */
  readonly whenDockerIs: boolean;
  readonly passed: PassedSocket | undefined;
  readonly resolver: Ip | undefined;
  readonly health: Pick<HealthReporter, 'warn'>;
  /** Milliseconds after which what Docker does not list was not on its way to it. */
  readonly settling?: number;
  /** Milliseconds until what could not be used is tried again. */
  readonly retryAfter?: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Milliseconds from the first call about a container until Docker lists it: a few calls, each of which takes its time on a busy host. */
const SETTLED = 20_000;

/** Milliseconds in which an agent finds its store, its underlay and its bridges again. */
const BEGINNING = 10_000;
const RETRY = 100;
/** For what does not come by itself. */
const RETRY_FAILED = 5000;

/** Whose warnings these are. */
const OWNER = 'docker plugin';

export class DockerPlugin {
  readonly #parts: DockerPluginParts;
  readonly #networks: PluginNetworks;
  readonly #routes: ResolverRoutes;
  readonly #cluster: ClusterNetworks;
  readonly #follower: DockerFollower;
  readonly #calls: ReturnType<typeof pluginCalls>;
  /** On the monotonic clock. */
  readonly #started: number;
  readonly #settling: number;
  /** Why the socket cannot be served. */
  #socketFailure: string | undefined;
  /** Docker networks of which nothing is known here, with the reason why they cannot be adopted. */
  #strange: readonly StrangeNetwork[] = [];

  private constructor(parts: DockerPluginParts, networks: PluginNetworks, routes: ResolverRoutes) {
    this.#parts = parts;
    this.#networks = networks;
    this.#routes = routes;
    this.#started = parts.clock.monotonic();
    const { settling = SETTLED } = parts;
    this.#settling = settling;
    const shared = { ...parts, networks, randomBytes };
    this.#cluster = new ClusterNetworks({
      ...shared,
      onMissing: () => this.#follower.compare(),
      onFailures: () => this.#warn(),
    });
    this.#follower = new DockerFollower({
      ...parts,
      settling,
      isOurs: id => networks.get(id) !== undefined,
      onNetworkName: (id, name) => this.#named(id, name),
      onNetworkGone: id => this.#gone(id),
      onNames: (endpoint, known) => parts.attachments.describe(endpoint, known),
      onPresent: (present, asked) => this.#compare(present, asked),
    });
    const drivers = { ...shared, cluster: this.#cluster, routes };
    this.#calls = pluginCalls(new NetworkDriver(drivers), new IpamDriver(drivers));
  }

  static async open(parts: DockerPluginParts): Promise<DockerPlugin> {
    const { attachments, clock, logger, stateDirectory } = parts;
    const networks = await PluginNetworks.open(join(stateDirectory, DOCKER_NETWORKS_FILE), clock);
    const routes = await ResolverRoutes.open({
      path: join(stateDirectory, RESOLVER_ROUTES_FILE),
      isPresent: endpoint => attachments.get(endpoint) !== undefined,
      logger,
    });
    return new DockerPlugin(parts, networks, routes);
  }

  /** Until `signal` aborts. Containers, and the state on the disk, stay. */
  async run(signal: AbortSignal): Promise<void> {
    const onState = (listening: boolean, failure?: string) => {
      this.#socketFailure = failure;
      this.#warn();
      if (listening) this.#parts.logger.info({ path: this.#parts.path }, 'the Docker plugin is there');
    };
    await together(
      signal,
      async until => {
        await this.#joinKnown(until);
        await servePlugin({ ...this.#parts, calls: this.#calls, onState }, until);
      },
      until => this.#follower.run(until),
      until => this.#networks.version.follow(() => this.#networksChanged(), until),
      until => this.#retry(until),
    );
    await this.#routes[Symbol.asyncDispose]();
  }

  #networksChanged(): void {
    this.#stateDns();
    // One that was strange may be known by now.
    this.#warn();
  }

  /** `-o tulle.dns=off` of one Docker network counts for the network that it is. */
  #stateDns(): void {
    const off = this.#networks.list().filter(({ options }) => !options.dns);
    this.#parts.notRedirected.set(new Set(off.flatMap(network => clusterNameOf(network) ?? [])));
  }

  /** Of each Docker network, in the order of their names. */
  status(): DockerNetworkStatus[] {
    return dockerNetworkStatus(this.#networks.list(), this.#cluster.failures, this.#parts.attachments);
  }

  async #named(id: string, name: string): Promise<void> {
    const before = this.#networks.get(id);
    if (before === undefined || before.name === name) return;
    await this.#networks.name(id, name);
    const network = this.#networks.get(id);
    // Its first container would wait for that; what cannot be is a warning until then.
    if (network !== undefined) void this.#join(network);
  }

  /**
   * The networks of the last run, before calls are taken: each of these has little time, and an agent that has just begun
   * may need them. dockerd waits for as long at the socket.
   */
  async #joinKnown(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const end = clock.monotonic() + BEGINNING;
    const known = this.#networks.list().filter(network => clusterNameOf(network) !== undefined);
    await Promise.all(
      known.map(async network => {
        while (!signal.aborted && clock.monotonic() < end) {
          try {
            await this.#cluster.join(network);
            return;
          } catch (error) {
            if (!isCode(error, 'NOT_READY')) return;
          }
          await clock.sleep(RETRY, signal).catch(() => undefined);
        }
      }),
    );
  }

  /** What kept a network from being used goes away without a word: the store answers again, another network is removed. */
  async #retry(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    while (!signal.aborted) {
      await clock.sleep(this.#parts.retryAfter ?? RETRY_FAILED, signal).catch(() => undefined);
      const failed = [...this.#cluster.failures.keys()].flatMap(id => this.#networks.get(id) ?? []);
      if (!signal.aborted) await Promise.all(failed.map(network => this.#join(network)));
    }
  }

  async #join(network: PluginNetwork): Promise<void> {
    try {
      const { name } = await this.#cluster.join(network);
      for (const ip of network.reserved) await this.#hold(name, ip);
    } catch (error) {
      this.#parts.logger.info(
        { network: network.name, reason: messageOf(error) },
        'a Docker network cannot be used yet',
      );
    }
  }

  /** An address that no container may get. Where somebody has it already, nobody gets it either. */
  async #hold(network: string, ip: Ip): Promise<void> {
    const { attachments, logger } = this.#parts;
    const wish = {
      family: ip.family,
      ip,
      mac: RESERVED_MAC,
      engine: 'docker',
      container: 'aux-address',
    } as const;
    await attachments
      .reserve(network, wish)
      .catch(error =>
        logger.info({ network, ip: `${ip}`, reason: messageOf(error) }, 'an auxiliary address is not held'),
      );
  }

  async #gone(id: string): Promise<void> {
    this.#cluster.forget(id);
    await this.#networks.remove(id);
  }

  /** What Docker does not have any more, and has not just been told of, goes. */
  async #compare(present: readonly DockerNetworkState[], asked: number): Promise<void> {
    const { attachments } = this.#parts;
    await this.#adopt(present);
    // What the agent before this one has begun may be on its way.
    if (asked < this.#started + this.#settling) return;
    const ids = new Set(present.map(({ Id }) => Id));
    for (const { id } of this.#networks.before(asked - this.#settling))
      if (!ids.has(id)) await this.#gone(id);
    const endpoints = new Set<string>();
    const ips: { network: string; ip: Ip }[] = [];
    for (const state of present) {
      const network = this.#networks.get(state.Id);
      const name = network && clusterNameOf(network);
      if (network === undefined || name === undefined) continue;
      for (const { EndpointID, IPv4Address, IPv6Address } of Object.values(state.Containers)) {
        if (EndpointID !== undefined) endpoints.add(EndpointID);
        for (const text of [IPv4Address, IPv6Address]) {
          const ip = Ip.tryParse(text.split('/')[0] ?? '');
          if (ip !== undefined) ips.push({ network: name, ip });
        }
      }
      for (const ip of network.reserved) ips.push({ network: name, ip });
    }
    await attachments.reconcile('docker', { ids: endpoints, ips }, asked - this.#settling);
  }

  async #adopt(present: readonly DockerNetworkState[]): Promise<void> {
    const strange: StrangeNetwork[] = [];
    for (const state of present) {
      if (this.#networks.get(state.Id) !== undefined) continue;
      try {
        const network = adoptNetwork(state);
        await this.#networks.put(network);
        void this.#join(network);
      } catch (error) {
        strange.push({ id: state.Id, name: state.Name, reason: messageOf(error) });
      }
    }
    this.#strange = strange;
    this.#warn();
  }

  #warn(): void {
    const sources = {
      path: this.#parts.path,
      socketFailure: this.#socketFailure,
      failures: this.#cluster.failures,
      strange: this.#strange.filter(({ id }) => this.#networks.get(id) === undefined),
      nameOf: (id: string) => this.#networks.get(id)?.name ?? id.slice(0, 12),
    };
    this.#parts.health.warn(OWNER, pluginWarnings(sources));
  }
}

/** Of nothing that is on a network: the address is only kept from containers. */
const RESERVED_MAC = Mac.parse('02:00:00:00:00:00');
