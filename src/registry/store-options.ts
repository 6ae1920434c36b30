/**
 * The way of every registry command to the store: the agent's flags and variables, so that what starts an agent
 * also serves here. The password is only read from the environment, where `ps` does not show it.
 */
import process from 'node:process';
import { type Command, Option } from 'commander';
import { list } from '../cli/options.ts';
import { warn } from '../cli/output.ts';
import {
  LOCAL_STORE,
  NETWORK_PREFIX,
  networkPrefix,
  STATE_DIRECTORY,
  STORE_DIRECTORY,
} from '../cli/places.ts';
import { parseEndpoints } from '../store/etcd/endpoint.ts';
import type { Registry } from '../subnet/registry.ts';
import { findOwnTrust } from '../trust/host-trust.ts';

export interface StoreCommandOptions {
  readonly etcdEndpoints?: readonly string[];
  readonly etcdPrefix?: string;
  readonly etcdCafile?: string;
  readonly etcdCertfile?: string;
  readonly etcdKeyfile?: string;
  readonly etcdUsername?: string;
}

const GROUP = 'Store (also from TULLE_ETCD_... and FLANNELD_ETCD_...; the password only from there):';

export function addStoreOptions(command: Command): Command {
  const options = [
    new Option(
      '--etcd-endpoints <urls>',
      `etcd endpoints, separated by commas (default: those of \`tulle up\`, else ${LOCAL_STORE})`,
    ).argParser(list(text => text)),
    new Option('--etcd-prefix <key>', `root of the keys of the network (default: ${NETWORK_PREFIX})`),
    new Option('--etcd-cafile <file>', 'certificate authority of the servers (PEM)'),
    new Option('--etcd-certfile <file>', 'client certificate (PEM), together with --etcd-keyfile'),
    new Option('--etcd-keyfile <file>', 'key of the client certificate (PEM)'),
    new Option('--etcd-username <name>', 'user, when etcd has authentication enabled'),
  ];
  for (const option of options) command.addOption(option.helpGroup(GROUP));
  return command;
}

/** Opens the registry for the time of `work`. */
export async function withRegistry<T>(
  options: StoreCommandOptions,
  work: (registry: Registry) => Promise<T>,
): Promise<T> {
  const named = options.etcdEndpoints ?? fromEnvironment('ENDPOINTS')?.split(',');
  // Where `tulle up` runs, nothing needs to be named: this host knows its store.
  const own = named === undefined ? await findOwnTrust(STATE_DIRECTORY, STORE_DIRECTORY) : undefined;
  const endpoints = named ?? [own?.endpoint ?? LOCAL_STORE];
  const caFile = options.etcdCafile ?? fromEnvironment('CAFILE') ?? own?.caFile;
  const certFile = options.etcdCertfile ?? fromEnvironment('CERTFILE') ?? own?.certFile;
  const keyFile = options.etcdKeyfile ?? fromEnvironment('KEYFILE') ?? own?.keyFile;
  const name = options.etcdUsername ?? fromEnvironment('USERNAME');
  const password = fromEnvironment('PASSWORD');
  const tls = {
    ...(caFile === undefined ? {} : { caFile }),
    ...(certFile === undefined ? {} : { certFile }),
    ...(keyFile === undefined ? {} : { keyFile }),
  };
  const files = Object.values(tls);
  if (files.length > 0 && !parseEndpoints(endpoints, true).some(({ secure }) => secure)) {
    warn(`no endpoint is https, so that these files are not used: ${files.join(', ')}`);
  }
  // Loaded only now: help and a wrong option should answer at once.
  const { EtcdStore } = await import('../store/etcd/etcd-store.ts');
  const { Registry } = await import('../subnet/registry.ts');
  await using store = new EtcdStore({
    endpoints,
    tls,
    ...(name === undefined ? {} : { user: { name, password: password ?? '' } }),
  });
  const prefix = networkPrefix(
    options.etcdPrefix ?? fromEnvironment('PREFIX') ?? own?.prefix ?? NETWORK_PREFIX,
  );
  return await work(new Registry(store, { prefix }));
}

/** An empty variable counts as not set, as for the agent. */
function fromEnvironment(name: string): string | undefined {
  return process.env[`TULLE_ETCD_${name}`] || process.env[`FLANNELD_ETCD_${name}`] || undefined;
}
