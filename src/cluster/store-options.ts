/**
 * The way of every registry command to the store: the agent's flags and variables, so that what starts an agent
 * also serves here, and without them what the agent of this host was started with. The password is only read from the
 * environment, where `ps` does not show it.
 */
import { readdirSync } from 'node:fs';
import process from 'node:process';
import { type Command, Option } from 'commander';
import { defined } from '../base/defined.ts';
import { isCode, messageOf } from '../base/errors.ts';
import { type AgentOption, agentClient, socketOption } from '../cli/agent-option.ts';
import {
  LOCAL_STORE,
  NETWORK_PREFIX,
  networkPrefix,
  STATE_DIRECTORY,
  STORE_DIRECTORY,
} from '../console/defaults.ts';
import { CommandError } from '../console/errors.ts';
import { list } from '../console/options.ts';
import { warn } from '../console/output.ts';
import { parseEndpoints } from '../store/etcd/endpoint.ts';
import { StoreError } from '../store/store.ts';
import type { Registry } from '../subnet/registry.ts';
import type { SegmentRegistry } from '../subnet/segment/segment-registry.ts';
import { findOwnTrust } from '../trust/host-trust.ts';

export interface StoreCommandOptions extends AgentOption {
  readonly etcdEndpoints?: readonly string[];
  readonly etcdPrefix?: string;
  readonly etcdCafile?: string;
  readonly etcdCertfile?: string;
  readonly etcdKeyfile?: string;
  readonly etcdUsername?: string;
}

const GROUP = 'Store (also TULLE_ETCD_... and FLANNELD_ETCD_...; the password only there):';

export function addStoreOptions(command: Command): Command {
  const options = [
    new Option(
      '--etcd-endpoints <urls>',
      `etcd endpoints, separated by commas (default: those of the agent on this host, otherwise ${LOCAL_STORE})`,
    ).argParser(list(text => text)),
    new Option(
      '--etcd-prefix <key>',
      `key prefix of the network (default: that of the agent, otherwise ${NETWORK_PREFIX})`,
    ),
    new Option('--etcd-cafile <file>', 'certificate authority of the servers (PEM)'),
    new Option('--etcd-certfile <file>', 'client certificate (PEM), together with --etcd-keyfile'),
    new Option('--etcd-keyfile <file>', 'key of the client certificate (PEM)'),
    new Option('--etcd-username <name>', 'user, when etcd has authentication enabled'),
    socketOption(),
  ];
  for (const option of options) command.addOption(option.helpGroup(GROUP));
  return command;
}

/** Opens the registry for the time of `work`. @throws CommandError; ApiError when the agent is not for this user */
export async function withRegistry<T>(
  options: StoreCommandOptions,
  work: (registry: Registry) => Promise<T>,
): Promise<T> {
  const way = await wayToStore(options);
  const { endpoints, caFile, certFile, keyFile, username } = way;
  const tls = defined({ caFile, certFile, keyFile });
  const files = Object.values(tls);
  if (files.length > 0 && !parseEndpoints(endpoints, true).some(({ secure }) => secure)) {
    warn(`no endpoint uses https, so these files are not used: ${files.join(', ')}`);
  }
  // Loaded only now: help and a wrong option should answer at once.
  const { EtcdStore } = await import('../store/etcd/etcd-store.ts');
  const { Registry } = await import('../subnet/registry.ts');
  await using store = new EtcdStore({
    endpoints,
    tls,
    ...(username && { user: { name: username, password: fromEnvironment('PASSWORD') ?? '' } }),
  });
  try {
    return await work(new Registry(store, { prefix: way.prefix }));
  } catch (error) {
    if (!way.isGuess || !isCode(error, 'UNAVAILABLE')) throw error;
    throw new StoreError(
      'UNAVAILABLE',
      `the store is unknown: no agent runs here, and no local store answers: ${messageOf(error)}`,
      {
        hint: 'give --etcd-endpoints, or start an agent',
      },
    );
  }
}

/** The same for the L2 networks. @throws as withRegistry */
export async function withSegments<T>(
  options: StoreCommandOptions,
  work: (registry: SegmentRegistry) => Promise<T>,
): Promise<T> {
  const { SegmentRegistry } = await import('../subnet/segment/segment-registry.ts');
  return withRegistry(options, ({ store, prefix }) => work(new SegmentRegistry(store, { prefix })));
}

/** Names of the L2 networks, of the store that the environment or this host names. */
export const knownNetworks = (): Promise<string[]> =>
  withSegments({}, async registry => [...(await registry.list()).segments.keys()]);

/** Everything that is needed to open the store but the password. */
interface Way {
  readonly endpoints: readonly string[];
  readonly prefix: string;
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  readonly username?: string | undefined;
  /** Nothing on this host says where the store is. */
  readonly isGuess?: boolean;
}

/** What is named counts, and what is not is as on this host. A store that is named has nothing to do with this host's. */
async function wayToStore(options: StoreCommandOptions): Promise<Way> {
  const named = options.etcdEndpoints ?? fromEnvironment('ENDPOINTS')?.split(',');
  const given = options.etcdPrefix ?? fromEnvironment('PREFIX');
  const own =
    named === undefined ? await ownWay({ ...options, ...defined({ etcdPrefix: given }) }) : undefined;
  return {
    endpoints: named ?? own?.endpoints ?? [LOCAL_STORE],
    prefix: networkPrefix(given ?? own?.prefix ?? NETWORK_PREFIX),
    caFile: options.etcdCafile ?? fromEnvironment('CAFILE') ?? own?.caFile,
    certFile: options.etcdCertfile ?? fromEnvironment('CERTFILE') ?? own?.certFile,
    keyFile: options.etcdKeyfile ?? fromEnvironment('KEYFILE') ?? own?.keyFile,
    isGuess: named === undefined && own === undefined,
    username: options.etcdUsername ?? fromEnvironment('USERNAME') ?? own?.username,
  };
}

/**
 * The way that this host has: its agent's, and without one that of `tulle up`. Where the store of the agent is kept on
 * this host, its administrator may more than the agent.
 */
async function ownWay(of: AgentOption): Promise<Way | undefined> {
  const store = await storeOfAgent(of);
  const trust = await findOwnTrust(STATE_DIRECTORY, STORE_DIRECTORY);
  const joined = trust && { ...trust, endpoints: [trust.endpoint] };
  if (store === undefined) return joined ?? nothingHidden();
  return joined && store.endpoints.includes(joined.endpoint) ? joined : store;
}

async function storeOfAgent(of: AgentOption): Promise<Way | undefined> {
  try {
    return (await agentClient(of).status()).store;
  } catch (error) {
    if (isCode(error, 'AGENT_NOT_RUNNING')) return undefined;
    throw error;
  }
}

/** A user who may not read the directory does not know whether the file is there. @throws CommandError FORBIDDEN */
function nothingHidden(): undefined {
  try {
    readdirSync(STATE_DIRECTORY);
  } catch (cause) {
    if (!isCode(cause, 'EACCES')) return;
    const hint = 'run the command with sudo, or give --etcd-endpoints';
    throw new CommandError(
      'FORBIDDEN',
      'permission denied: only root can read how to reach the store',
      hint,
      cause,
    );
  }
}

/** An empty variable counts as not set, as for the agent. */
function fromEnvironment(name: string): string | undefined {
  return process.env[`TULLE_ETCD_${name}`] || process.env[`FLANNELD_ETCD_${name}`] || undefined;
}
