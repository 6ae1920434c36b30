/**
 * The bridge that a tunnel is attached to, by its own name or by that of the Docker network it belongs to. Docker
 * is asked for the latter, and is not needed again for a bridge that is there.
 */
import { messageOf } from '../../base/errors.ts';
import { BRIDGE_OPTION, type DockerApi, DockerError } from '../../docker/docker-api.ts';
import type { DockerNetworkState } from '../../docker/docker-messages.ts';
import type { Link } from '../../netlink/route/objects.ts';

/** The bridge and, if it is Docker's, its network; or why there is none. */
export type Attachment =
  | { readonly bridge: string; readonly dockerNetwork?: string }
  | { readonly message: string; readonly hint?: string };

export class BridgeFinder {
  readonly #docker: Pick<DockerApi, 'network'>;
  /** Bridges of Docker networks by the networks' names, as Docker has said. */
  readonly #known: Map<string, string>;

  /** @param known of an earlier run: a network keeps its bridge's name. */
  constructor(docker: Pick<DockerApi, 'network'>, known: Iterable<readonly [string, string]> = []) {
    this.#docker = docker;
    this.#known = new Map(known);
  }

  /** The bridge that Docker has named for its network, if it was asked. */
  knownBridge(network: string): string | undefined {
    return this.#known.get(network);
  }

  async find(name: string, links: readonly Link[]): Promise<Attachment> {
    const isThere = (bridge: string) =>
      links.some(link => link.name === bridge && link.info?.kind === 'bridge');
    const known = this.#known.get(name);
    if (known !== undefined && isThere(known)) return { bridge: known, dockerNetwork: name };
    if (isThere(name)) return { bridge: name };
    if (links.some(link => link.name === name)) return { message: 'this link is no bridge' };
    let network: DockerNetworkState;
    try {
      network = await this.#docker.network(name);
    } catch (error) {
      if (error instanceof DockerError && error.code === 'NOT_FOUND') {
        return {
          message: 'neither a bridge nor a Docker network of this host has this name',
          hint: '`ip link show type bridge` and `docker network ls` list them',
        };
      }
      return {
        message: 'this host has no such bridge, and Docker cannot be asked for a network of this name',
        hint: messageOf(error),
      };
    }
    if (network.Driver !== 'bridge') {
      return { message: `this Docker network has the driver ${network.Driver}, and no bridge of this host` };
    }
    const bridge = bridgeOf(network);
    if (!isThere(bridge)) return { message: `the bridge ${bridge} of this Docker network is not there` };
    this.#known.set(name, bridge);
    return { bridge, dockerNetwork: name };
  }
}

/** Docker's names (libnetwork, drivers/bridge). */
const bridgeOf = ({ Id, Options }: DockerNetworkState) => Options[BRIDGE_OPTION] ?? `br-${Id.slice(0, 12)}`;
