/** The way of every client command to the agent of this host. */
import { Option } from 'commander';
import { AgentClient } from '../api/client.ts';
import { agentPaths, NETWORK_PREFIX } from '../console/defaults.ts';

export interface AgentOption {
  readonly socket?: string;
  /** Of the network whose agent is meant, where several run on one host. */
  readonly etcdPrefix?: string;
}

export const socketOption = (): Option =>
  new Option('--socket <file>', "unix socket of the agent's API (default: that of the network)").env(
    'TULLE_SOCKET',
  );

export const networkOption = (): Option =>
  new Option(
    '--etcd-prefix <key>',
    'key prefix of the network, where several networks have an agent on this host',
  )
    .default(NETWORK_PREFIX)
    .env('TULLE_ETCD_PREFIX');

export const socketOf = ({ socket, etcdPrefix = NETWORK_PREFIX }: AgentOption): string =>
  socket ?? agentPaths(etcdPrefix).socket;

/** Names of the hosts that the agent of this host knows, its own first; it is the one that the environment names. @throws ApiError */
export async function knownHosts(
  { TULLE_SOCKET: socket, TULLE_ETCD_PREFIX: etcdPrefix }: NodeJS.ProcessEnv = process.env,
): Promise<string[]> {
  const agent = agentClient({ ...(socket && { socket }), ...(etcdPrefix && { etcdPrefix }) });
  const { host, peers } = await agent.status();
  return [...new Set([host.name, ...peers.flatMap(({ hostName = [] }) => hostName)])];
}

export const agentClient = (options: AgentOption): AgentClient =>
  new AgentClient({ socketPath: socketOf(options) });
