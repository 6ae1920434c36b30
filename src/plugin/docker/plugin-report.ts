/** What the plugin reports: the Docker networks on this host, and what a person should look at. Pure. */
import type { DockerNetworkStatus } from '../../api/networks.ts';
import { defined } from '../../base/defined.ts';
import { messageOf, TulleError } from '../../base/errors.ts';
import { type Attachments, OVERLAY_NETWORK } from '../../network/attachment/attachments.ts';
import type { OwnedWarning } from '../../network/reports.ts';
import { clusterNameOf, type PluginNetwork } from './plugin-network.ts';

/** A network of this plugin in Docker that it has no record of, and cannot adopt. */
export interface StrangeNetwork {
  readonly id: string;
  readonly name: string;
  readonly reason: string;
}

/** By id of the Docker network: why it cannot be used. */
type NetworkFailures = ReadonlyMap<string, Error>;

/** In the order of their names. */
export function dockerNetworkStatus(
  networks: readonly PluginNetwork[],
  failures: NetworkFailures,
  attachments: Pick<Attachments, 'find' | 'list'>,
): DockerNetworkStatus[] {
  const attached = attachments.list().filter(({ engine }) => engine === 'docker');
  return networks
    .map((network): DockerNetworkStatus => {
      const name = clusterNameOf(network);
      const failure = failures.get(network.id);
      const isPresent = name !== undefined && attachments.find(name) !== undefined;
      const reason = failure === undefined ? reasonToWait(name, isPresent) : messageOf(failure);
      return {
        name: network.name ?? network.id.slice(0, 12),
        ...(name !== undefined && { network: name }),
        state: failure !== undefined ? 'failed' : isPresent ? 'ready' : 'waiting',
        ...defined({ reason }),
        containers: attached.filter(one => one.network === name).length,
      };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Deleted in the cluster, or not made yet. */
function reasonToWait(name: string | undefined, isPresent: boolean): string | undefined {
  if (name === undefined) return 'Docker has not told its name yet';
  if (isPresent) return undefined;
  return name === OVERLAY_NETWORK
    ? 'this host has leased no subnet yet'
    : `the cluster has no network ${name}, and the next container on it makes it`;
}

export interface PluginWarningSources {
  /** Of the socket. */
  readonly path: string;
  /** Why it cannot be served. */
  readonly socketFailure: string | undefined;
  readonly failures: NetworkFailures;
  readonly strange: readonly StrangeNetwork[];
  readonly nameOf: (id: string) => string;
}

export function pluginWarnings(sources: PluginWarningSources): readonly OwnedWarning[] {
  const { path, socketFailure, failures, strange, nameOf } = sources;
  const warnings: OwnedWarning[] = [];
  if (socketFailure !== undefined) {
    warnings.push({
      id: 'socket',
      code: 'DOCKER_PLUGIN_SOCKET',
      severity: 'warning',
      title: `Docker cannot reach its plugin at ${path}`,
      text: socketFailure,
    });
  }
  for (const [id, error] of failures) {
    warnings.push({
      id,
      code: 'DOCKER_NETWORK_UNUSABLE',
      severity: 'warning',
      title: `the Docker network ${nameOf(id)} cannot be used`,
      text: messageOf(error),
      ...(error instanceof TulleError && error.hint !== undefined && { hint: error.hint }),
    });
  }
  for (const { id, name, reason } of strange) {
    warnings.push({
      id,
      code: 'DOCKER_NETWORK_UNKNOWN',
      severity: 'warning',
      title: `the Docker network ${name} was not made by this plugin as it is now`,
      text: reason,
      hint: 'remove it from Docker and create it again',
    });
  }
  return warnings;
}
