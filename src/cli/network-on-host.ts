/** A network as it is on this host, which only its agent knows; another host may run the command, or none. */
import { AgentClient, ApiError } from '../api/client.ts';
import type { NetworkOnHost } from '../api/networks.ts';
import type { Status } from '../api/status.ts';
import { printable } from '../base/printable.ts';
import { formatCount } from '../console/format.ts';
import { type AgentOption, socketOf } from './agent-option.ts';

/** Milliseconds: what the store says must not wait long for this. */
const PATIENCE = 2000;

/** undefined where no agent answers, or it does not have the network. */
export async function networkOnHost(options: AgentOption, name: string): Promise<NetworkOnHost | undefined> {
  try {
    const agent = new AgentClient({ socketPath: socketOf(options), timeout: PATIENCE });
    return (await agent.networks()).find(network => network.name === name);
  } catch (error) {
    if (error instanceof ApiError) return undefined;
    throw error;
  }
}

/** The link over which this host reaches the others, as its agent has chosen it; undefined where no agent says so. */
export async function underlayOfHost(options: AgentOption): Promise<Status['underlay']> {
  try {
    const agent = new AgentClient({ socketPath: socketOf(options), timeout: PATIENCE });
    return (await agent.status()).underlay;
  } catch (error) {
    if (error instanceof ApiError) return undefined;
    throw error;
  }
}

/** By name of the network in the cluster: what this host's Docker calls it; those of its plugin, and none where no agent answers. */
export async function pluginNetworks(options: AgentOption): Promise<ReadonlyMap<string, readonly string[]>> {
  try {
    const agent = new AgentClient({ socketPath: socketOf(options), timeout: PATIENCE });
    const { dockerNetworks = [] } = await agent.status();
    const known = dockerNetworks.filter(({ network }) => network !== undefined);
    const groups = Map.groupBy(known, ({ network = '' }) => network);
    return new Map(Array.from(groups, ([network, all]) => [network, all.map(({ name }) => printable(name))]));
  } catch (error) {
    if (error instanceof ApiError) return new Map();
    throw error;
  }
}

/** Names of the Docker networks of this host that are this network; none where no agent answers, or Docker does not use its plugin. */
export const dockerNetworksOf = async (options: AgentOption, network: string): Promise<readonly string[]> =>
  (await pluginNetworks(options)).get(network) ?? [];

export function onHostFacts(network: NetworkOnHost | undefined): readonly (readonly [string, string])[] {
  if (network === undefined) return [];
  const { bridge, tunnel, mtu, state, reason, ports, drops = {} } = network;
  const where = bridge === undefined ? 'not made' : `bridge ${bridge}, VXLAN ${tunnel}, MTU ${mtu}`;
  const why = state === 'ready' ? '' : `, ${state}${reason === undefined ? '' : `: ${reason}`}`;
  const dropped = Object.entries(drops).filter(([, count]) => count > 0);
  const counts = dropped.map(([what, count]) => `${formatCount(count, 'frame')} by ${what}`);
  return [
    ['this host', `${where}${why}`],
    ['ports', ports.length === 0 ? 'none' : ports.join(' ')],
    ['dropped', counts.length === 0 ? 'nothing' : counts.join(', ')],
  ];
}
