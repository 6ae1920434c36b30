/** Docker's plugin beside the agent's own servers: on where a service manager passed its socket, or Docker is on this host. */
import type { Clock } from '../../base/clock.ts';
import { Ip } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import { DOCKER_PLUGIN_FD_NAME, RESOLVER_ADDRESS } from '../../console/defaults.ts';
import { DOCKER_SOCKET, DockerApi } from '../../docker/docker-api.ts';
import type { Network } from '../../network/network.ts';
import type { HealthReporter } from '../../network/reports.ts';
import type { DockerPlugin } from '../../plugin/docker/docker-plugin.ts';
import type { PassedSocket } from '../../sys/socket-activation.ts';
import type { AgentOptions } from '../options/options.ts';

export interface DockerPluginOptions {
  readonly options: Pick<AgentOptions, 'dockerPlugin' | 'stateDirectory' | 'resolver'>;
  readonly network: Pick<Network, 'attachments' | 'resolver'>;
  readonly passed: readonly PassedSocket[];
  readonly health: HealthReporter;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** undefined where it is off. */
export async function openDockerPlugin(parts: DockerPluginOptions): Promise<DockerPlugin | undefined> {
  const { dockerPlugin, stateDirectory, resolver } = parts.options;
  const passed = parts.passed.find(({ name }) => name === DOCKER_PLUGIN_FD_NAME);
  if (dockerPlugin === undefined || (dockerPlugin.needs === 'passed' && passed === undefined))
    return undefined;
  // Loaded only where it is wanted: it costs memory on every host.
  const { DockerPlugin } = await import('../../plugin/docker/docker-plugin.ts');
  return DockerPlugin.open({
    ...parts,
    notRedirected: parts.network.resolver.notRedirected,
    attachments: parts.network.attachments,
    docker: new DockerApi(DOCKER_SOCKET),
    stateDirectory,
    path: dockerPlugin.path,
    whenDockerIs: dockerPlugin.needs === 'docker',
    passed,
    resolver: resolver.mode === 'off' ? undefined : Ip.parse(RESOLVER_ADDRESS),
  });
}
