/**
 * From a Docker network to the network of the cluster that it is: by the name that was stated for it, else by the one that
 * it has in Docker, which Docker's events tell outside of any call. The network is made or joined when its name is known.
 */
import type { Clock } from '../../base/clock.ts';
import { isCode } from '../../base/errors.ts';
import type { Attachments, ContainerNetwork } from '../../network/attachment/attachments.ts';
import { isNetworkName } from './docker-options.ts';
import { DockerPluginError } from './plugin-errors.ts';
import { clusterNameOf, type PluginNetwork, wishOf } from './plugin-network.ts';
import type { PluginNetworks } from './plugin-networks.ts';

/** Milliseconds that a call waits for the name of its network; the event is there after one or two. */
const NAME_PATIENCE = 1500;

export interface ClusterNetworksParts {
  readonly networks: PluginNetworks;
  readonly attachments: Pick<Attachments, 'find' | 'ensure'>;
  readonly clock: Clock;
  /** A name is missing: Docker is to be asked for all of them. */
  readonly onMissing: () => void;
  /** What of `failures` is said has changed. */
  readonly onFailures: () => void;
}

export class ClusterNetworks {
  readonly #parts: ClusterNetworksParts;
  /** By id of the Docker network: the name of the one that was joined. */
  readonly #joined = new Map<string, string>();
  /** By id of the Docker network: why it cannot be used. */
  readonly failures = new Map<string, Error>();

  constructor(parts: ClusterNetworksParts) {
    this.#parts = parts;
  }

  /** @throws DockerPluginError, AttachmentError, SegmentError, StoreError */
  async of(id: string, signal: AbortSignal): Promise<ContainerNetwork> {
    const network = await this.#named(id, signal);
    return this.join(network);
  }

  /** Makes or joins the network of one whose name is known. @throws as `of` */
  async join(network: PluginNetwork): Promise<ContainerNetwork> {
    const { attachments } = this.#parts;
    const name = clusterNameOf(network);
    try {
      if (name === undefined || !isNetworkName(name)) throw unusableName(network);
      const present = attachments.find(name);
      // A network that was removed from the cluster and made anew may be another one.
      if (present !== undefined && this.#joined.get(network.id) === name) return present;
      const joined = await attachments.ensure(wishOf(network, name));
      this.#joined.set(network.id, name);
      this.#failed(network.id, undefined);
      return joined;
    } catch (error) {
      this.#joined.delete(network.id);
      this.#failed(network.id, error as Error);
      throw error;
    }
  }

  /** One that Docker has no more. */
  forget(id: string): void {
    this.#joined.delete(id);
    this.#failed(id, undefined);
  }

  #failed(id: string, error: Error | undefined): void {
    const before = this.failures.get(id)?.message;
    if (error === undefined) this.failures.delete(id);
    else this.failures.set(id, error);
    if (before !== error?.message) this.#parts.onFailures();
  }

  async #named(id: string, signal: AbortSignal): Promise<PluginNetwork> {
    const { networks, clock, onMissing } = this.#parts;
    const known = () => {
      const network = networks.get(id);
      if (network === undefined) throw unknownNetwork(id);
      return clusterNameOf(network) === undefined ? undefined : network;
    };
    const now = known();
    if (now !== undefined) return now;
    onMissing();
    const over = new AbortController();
    const waiting = AbortSignal.any([signal, over.signal]);
    const late = clock.sleep(NAME_PATIENCE, waiting).then(
      () => over.abort(),
      () => undefined,
    );
    try {
      for await (const _ of networks.version.changes(waiting)) {
        const network = known();
        if (network !== undefined) return network;
      }
    } catch (error) {
      if (!isCode(error, 'ABORT_ERR')) throw error;
    } finally {
      over.abort();
      await late;
    }
    throw new DockerPluginError('NO_NAME', 'Docker has not told the name of this network', {
      hint: 'the agent follows the events of dockerd at /run/docker.sock; or state the name: -o tulle.network=NAME',
    });
  }
}

export function unknownNetwork(id: string): DockerPluginError {
  return new DockerPluginError(
    'UNKNOWN',
    `no network ${id.slice(0, 12)} is known to the agent of this host`,
    {
      hint: 'remove it from Docker and create it again',
    },
  );
}

function unusableName({ name = '' }: PluginNetwork): DockerPluginError {
  return new DockerPluginError('REFUSED', `${JSON.stringify(name)} cannot be the name of a network`, {
    hint: 'create it with -o tulle.network=NAME: at most 32 lower-case letters, digits, and - _ . between them',
  });
}
