/**
 * One host, as far as it can be read without sending a packet: its own namespace, its containers, what its agent says.
 * A host of a lab is read from inside of it, as a real one is.
 */
import { hostname } from 'node:os';
import { AgentClient, ApiError } from '../../api/client.ts';
import type { Status } from '../../api/status.ts';
import { lazy } from '../../base/lazy.ts';
import type { Prefix } from '../../base/prefix.ts';
import { DOCKER_SOCKET, DockerApi } from '../../docker/docker-api.ts';
import { Netns } from '../../sys/netns.ts';
import { type Container, findContainers } from './containers.ts';
import { type Members, membersOf } from './members.ts';
import { NamespaceReader } from './namespace-reader.ts';
import { type HostOverlay, overlayOf } from './overlay.ts';
import { knownDevices, knownLeases, type Peer, peersOf, subnetsAt } from './peers.ts';

export interface HostOptions {
  /** The calling thread's own unless given. */
  readonly netns?: Netns;
  /** Of the agent; the usual one unless given. */
  readonly socketPath?: string;
  /** Of dockerd; the usual one unless given. */
  readonly dockerSocket?: string;
  /** Read where no agent answers; the usual one unless given. */
  readonly subnetFile?: string;
}

/** What the agent answers, or why it does not. */
export type AgentAnswer =
  | { readonly status: Status; readonly error?: never }
  | { readonly error: ApiError; readonly status?: never };

/** Milliseconds for the agent's answer, which takes 5 ms. */
const AGENT_PATIENCE = 1_000;
/** Milliseconds for dockerd's answer, which takes some 20 ms on a host that is at rest. */
const DOCKER_PATIENCE = 5_000;

export class HostReader extends NamespaceReader {
  readonly #client: AgentClient;
  readonly dockerSocket: string;
  readonly #docker: DockerApi;
  readonly #subnetFile: string | undefined;
  #containers: Promise<Container[]> | undefined;

  private constructor(netns: Netns, { socketPath, subnetFile, dockerSocket = DOCKER_SOCKET }: HostOptions) {
    super(netns);
    this.#subnetFile = subnetFile;
    this.dockerSocket = dockerSocket;
    this.#docker = new DockerApi(dockerSocket, DOCKER_PATIENCE);
    this.#client = new AgentClient({
      timeout: AGENT_PATIENCE,
      ...(socketPath !== undefined && { socketPath }),
    });
  }

  /** @throws SysError */
  static open(options: HostOptions = {}): HostReader {
    if (options.netns !== undefined) return new HostReader(options.netns, options);
    using here = Netns.current();
    return new HostReader(here, options);
  }

  readonly agent = lazy(async (): Promise<AgentAnswer> => {
    try {
      return { status: await this.#client.status() };
    } catch (error) {
      if (error instanceof ApiError) return { error };
      throw error;
    }
  });

  /** undefined when no agent answers. */
  async status(): Promise<Status | undefined> {
    return (await this.agent()).status;
  }

  /** What peers call this host. */
  readonly name = lazy(async () => (await this.status())?.host.name ?? hostname());

  /** undefined for a host that has leased nothing. */
  readonly overlay = lazy(
    async (): Promise<HostOverlay | undefined> => overlayOf(await this.status(), this.#subnetFile),
  );

  /** As the agent has left them on the disk. */
  readonly leases = lazy(() => Promise.resolve(knownLeases()));

  /** Names of the devices of the overlay: from the agent, and where that does not answer as it has left them on the disk. */
  readonly devices = lazy(async (): Promise<string[]> => {
    const status = await this.status();
    return status === undefined ? knownDevices() : (status.backend?.devices ?? []).map(({ name }) => name);
  });

  /** Other hosts of the overlay that packets should reach from here. */
  readonly peers = lazy(async (): Promise<Peer[]> => {
    const [status, leases, overlay] = await Promise.all([this.status(), this.leases(), this.overlay()]);
    const addresses = overlay === undefined ? await this.addresses() : [];
    const own =
      overlay?.subnets ??
      subnetsAt(
        leases,
        addresses.map(({ ip }) => ip),
      );
    return peersOf(status, leases, own);
  });

  /** Of all kinds, on the overlay or not. */
  containers(): Promise<Container[]> {
    return (this.#containers ??= findContainers(this, () => this.dockerContainers().catch(() => [])));
  }

  /** Those that run. @throws DockerError NO_DOCKER where no dockerd answers */
  readonly dockerContainers = lazy(() => this.#docker.containers());
  /** @throws DockerError */
  readonly dockerNetworks = lazy(() => this.#docker.networks());

  /** What of this host is on the overlay. */
  readonly members = lazy(async (): Promise<Members> => {
    const [overlay, links, addresses, found] = await Promise.all([
      this.overlay(),
      this.links(),
      this.addresses(),
      this.containers(),
    ]);
    const containers = await Promise.all(
      found.map(async container => ({
        container,
        addresses: await container.inside.addresses().catch(() => []),
      })),
    );
    return membersOf({ overlay, links, addresses, containers });
  });

  /** Subnets of these, and where no peer is known those of other hosts that the kernel has routes to. */
  readonly peerSubnets = lazy(async (): Promise<Prefix[]> => {
    const [peers, overlay] = await Promise.all([this.peers(), this.overlay()]);
    if (overlay === undefined) return [];
    const isOther = (block: Prefix) =>
      overlay.networks.some(network => network.contains(block)) &&
      !overlay.subnets.some(own => own.overlaps(block));
    const known = peers.flatMap(({ subnets }) => subnets).filter(isOther);
    if (known.length > 0) return known;
    const routes = await this.routes();
    return routes.flatMap(({ destination }) => (destination && isOther(destination) ? [destination] : []));
  });

  override async [Symbol.asyncDispose](): Promise<void> {
    const containers = (await this.#containers?.catch(() => [])) ?? [];
    await Promise.all(containers.map(({ inside }) => inside[Symbol.asyncDispose]()));
    await super[Symbol.asyncDispose]();
  }
}
