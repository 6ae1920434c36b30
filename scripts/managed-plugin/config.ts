/**
 * The config.json of a plugin that dockerd runs (https://docs.docker.com/engine/extend/config/): the agent, in the network of
 * the host, with what it keeps on the disk of the host.
 */

/** Where /run and /var/lib of the host are inside. Its files there may come and go; the directories are always there. */
const HOST_RUN = '/host/run';
const HOST_LIB = '/host/var/lib';

interface Variable {
  readonly name: string;
  readonly description: string;
  readonly value: string;
  /** What `docker plugin set` may change. */
  readonly settable: readonly ['value'];
}

interface Mount {
  readonly name: string;
  readonly description: string;
  readonly source: string;
  readonly destination: string;
  readonly type: 'bind';
  readonly options: readonly string[];
  readonly settable: readonly ['source'];
}

export interface ManagedPluginConfig {
  readonly description: string;
  readonly documentation: string;
  readonly entrypoint: readonly string[];
  readonly workdir: string;
  readonly interface: { readonly types: readonly string[]; readonly socket: string };
  readonly network: { readonly type: 'host' };
  readonly env: readonly Variable[];
  readonly mounts: readonly Mount[];
  readonly linux: {
    readonly capabilities: readonly string[];
    readonly allowAllDevices: boolean;
    readonly devices: readonly object[];
  };
}

const variable = (name: string, value: string, description: string): Variable => ({
  name,
  description,
  value,
  settable: ['value'],
});

const mount = (name: string, source: string, destination: string, description: string): Mount => ({
  name,
  description,
  source,
  destination,
  type: 'bind',
  options: ['rbind', 'rw'],
  settable: ['source'],
});

/** dockerd looks for the socket in /run/docker/plugins of the plugin. */
export const managedPluginConfig: ManagedPluginConfig = {
  description: 'Tulle: containers of several hosts on one network',
  documentation: 'docs/guide/docker-plugin.md',
  entrypoint: [
    '/bin/sh',
    '-c',
    // dockerd gives its plugins /proc/sys read-only, and has no setting for it.
    'mount -o remount,bind,rw /proc/sys; exec /opt/tulle/bin/tulle agent "$@"',
    'tulle',
    `--subnet-file=${HOST_RUN}/flannel/subnet.env`,
    `--socket=${HOST_RUN}/tulle/agent.sock`,
    `--state-dir=${HOST_LIB}/tulle`,
  ],
  workdir: '/',
  interface: { types: ['docker.networkdriver/1.0', 'docker.ipamdriver/1.0'], socket: 'tulle.sock' },
  network: { type: 'host' },
  env: [
    variable('TULLE_ETCD_ENDPOINTS', 'http://127.0.0.1:2379', 'the store, or etcd'),
    variable('TULLE_ETCD_PREFIX', '/coreos.com/network', 'root of the keys of the network'),
    variable('TULLE_IFACE', '', 'link to the other hosts; that of the default route when empty'),
    variable('TULLE_IP_MASQ', 'true', 'whether containers reach the internet'),
  ],
  mounts: [
    mount('run', '/run', HOST_RUN, 'the subnet file, and the API of the agent'),
    mount('lib', '/var/lib', HOST_LIB, 'what the agent keeps over a restart'),
    mount(
      'docker',
      '/run/docker.sock',
      '/run/docker.sock',
      'where names of networks and containers are from',
    ),
  ],
  linux: {
    capabilities: ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_SYS_ADMIN', 'CAP_SYS_MODULE', 'CAP_SYS_PTRACE'],
    allowAllDevices: false,
    devices: [],
  },
};
