/** Where things are unless a person says otherwise. What must agree between commands is said here once. */
import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { DEFAULT_SOCKET } from '../api/messages.ts';

/** What a host keeps over a reboot: its identity, and its way to the store. */
export const STATE_DIRECTORY = '/var/lib/tulle';

/** The database of a store on this host, and its certificates. */
export const STORE_DIRECTORY = '/var/lib/tulle/store';

/** The file from which Docker and CNI read the subnet of this host; where flannel writes it. */
export const SUBNET_FILE = '/run/flannel/subnet.env';

/** A store, or etcd, on this host. */
export const LOCAL_STORE = 'http://127.0.0.1:2379';

/** Root of the keys of a network; flannel's `--etcd-prefix`. */
export const NETWORK_PREFIX = '/coreos.com/network';

/**
 * The root of a network's keys as flannel's path.Join cleans it, so that both find the same keys. One without a
 * leading slash stays so.
 */
export function networkPrefix(text: string): string {
  const clean = posix.join(text);
  return clean.length > 1 && clean.endsWith('/') ? clean.slice(0, -1) : clean;
}

/** Where dockerd looks for a network plugin named `tulle`. */
export const DOCKER_PLUGIN_SOCKET = '/run/docker/plugins/tulle.sock';

/** What a service manager calls that socket when it passes it (FileDescriptorName=). */
export const DOCKER_PLUGIN_FD_NAME = 'docker-plugin';

/** Where the agent of every host answers questions for names, to containers and to the host itself. */
export const RESOLVER_ADDRESS = '169.254.53.53';

/** What the agent of one network has for itself, where several run on one host. */
export interface AgentPaths {
  readonly socket: string;
  readonly stateDirectory: string;
}

/** The paths of the agent with this `--etcd-prefix`: flannel's own has the plain ones. */
export function agentPaths(etcdPrefix: string): AgentPaths {
  const prefix = networkPrefix(etcdPrefix);
  if (prefix === NETWORK_PREFIX) return { socket: DEFAULT_SOCKET, stateDirectory: STATE_DIRECTORY };
  const tag = networkTag(prefix);
  return {
    socket: `/run/tulle/agent-${tag}.sock`,
    stateDirectory: `${STATE_DIRECTORY}/network-${tag}`,
  };
}

/** What the forwarder of an agent has for itself, beside the socket of the agent. */
export function filesBeside(agentSocket: string): { readonly control: string; readonly logFile: string } {
  const base = agentSocket.replace(/(\.sock)?$/, '-forwarder');
  return { control: `${base}.sock`, logFile: `${base}.log` };
}

/** Eight characters that stand for a network in names of files. @param prefix root of its keys. */
export function networkTag(prefix: string): string {
  return createHash('sha256').update(prefix).digest('hex').slice(0, 8);
}
