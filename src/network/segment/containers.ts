/**
 * The containers of this host on its L2 networks: their addresses, what connects them, what is seen of them, and their
 * Docker networks.
 *
 *     addresses   of this host's ranges, given out
 *     connector   `tulle network connect`
 *     endpoints   what is on the bridges, published
 *     docker      a Docker network for each that wants one
 */
import { together } from '../../base/abort.ts';
import { formatProblem, messageOf } from '../../base/errors.ts';
import { DOCKER_SOCKET, DockerApi, DockerError } from '../../docker/docker-api.ts';
import type { IpamEvent } from '../../ipam/connection.ts';
import { HostAddresses } from '../../ipam/host-addresses.ts';
import type { SegmentPresence } from '../../subnet/segment/presence.ts';
import { SegmentError } from '../../subnet/segment/segment-error.ts';
import type { SegmentRegistry } from '../../subnet/segment/segment-registry.ts';
import { notFound } from '../../subnet/segment/segment-registry.ts';
import type { SegmentWatch } from '../../subnet/segment/segment-watch.ts';
import type { EventReporter } from '../reports.ts';
import { DockerNetworks } from './docker/docker-networks.ts';
import { Connector } from './endpoints/connector.ts';
import { HostEndpoints } from './endpoints/host-endpoints.ts';
import type { HostEndpointsParts } from './endpoints/host-endpoints-parts.ts';
import type { SegmentSite } from './endpoints/segment-site.ts';
import type { SegmentScope } from './segment-scope.ts';

export interface SegmentContainersParts extends Omit<HostEndpointsParts, 'addresses' | 'host'> {
  readonly host: { readonly hostId: string; readonly hostName?: string; readonly machine?: string };
  readonly registry: SegmentRegistry;
  readonly presence: SegmentPresence;
  readonly watch: SegmentWatch;
  /** Of the agent's state. */
  readonly stateDirectory: string;
  readonly events: EventReporter;
  /** The network of this name, as it is on this host. */
  readonly scopeOf: (name: string) => SegmentScope | undefined;
}

export class SegmentContainers {
  readonly addresses: HostAddresses;
  readonly endpoints: HostEndpoints;
  readonly connector: Connector;
  readonly #parts: SegmentContainersParts;
  readonly #docker: DockerNetworks;
  #sites: readonly SegmentSite[] = [];

  constructor(parts: SegmentContainersParts) {
    this.#parts = parts;
    const { host, stateDirectory: directory } = parts;
    const docker = new DockerApi(DOCKER_SOCKET);
    this.addresses = new HostAddresses({ ...parts, directory, onEvent: event => this.#report(event) });
    const { hostId, hostName } = host;
    this.endpoints = new HostEndpoints({
      ...parts,
      host: { hostId, ...(hostName !== undefined && { hostName }) },
      addresses: this.addresses,
    });
    this.connector = new Connector({
      ...parts,
      endpoints: this.endpoints,
      addresses: this.addresses,
      siteOf: name => this.#siteOf(name),
      findContainer: name => namespaceOf(docker, name),
    });
    this.#docker = new DockerNetworks({
      ...parts,
      docker,
      ranges: (name, family) => this.addresses.ranges(name, family),
      setContainers: (name, containers) => this.endpoints.setContainers(name, containers),
    });
  }

  /** States which L2 networks this host has, and where. */
  setSites(sites: readonly SegmentSite[]): void {
    this.#sites = sites;
    this.endpoints.setSites(sites);
    this.linksChanged();
  }

  /** Bridges may have come or gone. */
  linksChanged(): void {
    const { scopeOf } = this.#parts;
    this.#docker.setSites(this.#sites.filter(({ segment }) => scopeOf(segment.name)?.bridge !== undefined));
  }

  async run(signal: AbortSignal): Promise<void> {
    await together(
      signal,
      until => this.addresses.run(until),
      until => this.endpoints.run(until),
      until => this.#docker.run(until),
    );
  }

  /** @throws SegmentError, also when the network is not in place on this host */
  #siteOf(name: string): SegmentSite {
    const scope = this.#parts.scopeOf(name);
    const site = this.#sites.find(({ segment }) => segment.name === name);
    if (scope === undefined) throw notFound(name);
    if (site !== undefined && scope.bridge !== undefined) return site;
    const why = scope.obstacle === undefined ? 'its bridge is not there yet' : formatProblem(scope.obstacle);
    throw new SegmentError('NOT_READY', `the network ${name} is not in place on this host: ${why}`, {
      hint: 'tulle status shows what is missing; try again when it is there',
    });
  }

  #report(event: IpamEvent): void {
    const { events, logger } = this.#parts;
    const { network } = event;
    if (event.type === 'range-lost') {
      const text = `another host has the range ${event.block} of ${network}, which this host gave addresses out of`;
      events.add('warning', 'range-lost', text, { network, range: `${event.block}` });
    } else {
      const what = event.type === 'lost' ? 'could not be read as a whole' : 'could not be written';
      logger.warn(
        { network, error: messageOf(event.error) },
        `the addresses given out in an L2 network ${what}`,
      );
    }
  }
}

/** Path of the network namespace of a running Docker container; undefined when there is none of this name. */
async function namespaceOf(docker: DockerApi, name: string): Promise<string | undefined> {
  try {
    const { State, NetworkSettings } = await docker.container(name);
    if (!State.Running) return undefined;
    // Docker writes the sandbox below /var/run, which a symbolic link leads to /run.
    return NetworkSettings.SandboxKey.replace(/^\/var\/run\//, '/run/') || `/proc/${State.Pid}/ns/net`;
  } catch (error) {
    if (error instanceof DockerError && (error.code === 'NOT_FOUND' || error.code === 'NO_DOCKER'))
      return undefined;
    throw error;
  }
}
