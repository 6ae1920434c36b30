/**
 * The systemd units of the daemons, as text. What they may do is cut down to what they need; what is not
 * obvious in that is said here, because a unit file is read where this source is not.
 *
 * - Type=notify: the agent says READY=1 when containers can talk, so docker.service, which waits for it, finds
 *   the subnet file. Restarting it leaves the data plane in place.
 * - Node.js compiles code at run time, so MemoryDenyWriteExecute must stay off.
 * - nft and iptables may have to load kernel modules, so CAP_SYS_MODULE stays in.
 */
import { DOCKER_PLUGIN_FD_NAME, DOCKER_PLUGIN_SOCKET } from '../console/defaults.ts';

export interface UnitOptions {
  /** Absolute path of bin/tulle. */
  readonly program: string;
  /** Flags of the daemon, one word each. */
  readonly flags: readonly string[];
}

export const UNITS = {
  up: {
    file: 'tulle.service',
    text: (options: UnitOptions) =>
      hostUnit('up', 'Tulle: this host of the network', options, [
        ['Conflicts', 'tulle-agent.service tulle-store.service'],
      ]),
  },
  agent: {
    file: 'tulle-agent.service',
    text: (options: UnitOptions) =>
      hostUnit('agent', 'Tulle agent: containers reach those of other hosts', options, [
        ['Conflicts', 'tulle.service'],
      ]),
  },
  store: { file: 'tulle-store.service', text: storeUnit },
} as const;

export type Daemon = keyof typeof UNITS;

/** The daemons that serve Docker. */
export type HostDaemon = Exclude<Daemon, 'store'>;

/**
 * The socket of the Docker plugin: dockerd finds it before any daemon of ours runs, and what it asks waits in the queue
 * while one is restarted. A connection starts the daemon, if it does not run.
 */
export const PLUGIN_SOCKET = { file: 'tulle-docker.socket', text: pluginSocket } as const;

function pluginSocket(daemon: HostDaemon): string {
  return unit({
    Unit: [
      ['Description', 'Tulle: networks of Docker'],
      // dockerd looks for the plugins of its networks as soon as it starts.
      ['Before', 'docker.service'],
    ],
    Socket: [
      ['ListenStream', DOCKER_PLUGIN_SOCKET],
      ['FileDescriptorName', DOCKER_PLUGIN_FD_NAME],
      ['SocketMode', '0600'],
      // As dockerd makes its own directory.
      ['DirectoryMode', '0711'],
      ['RemoveOnStop', 'yes'],
      ['Service', UNITS[daemon].file],
    ],
    Install: [['WantedBy', 'sockets.target']],
  });
}

/** Variables for the daemon, above all secrets, which must not be in a unit file, because every user may read that. */
export const environmentFile = (daemon: Daemon): string => `/etc/tulle/${daemon}.env`;

/** The unit of what holds a lease and programs the kernel. */
function hostUnit(
  daemon: Daemon,
  description: string,
  options: UnitOptions,
  relations: readonly Setting[],
): string {
  return unit({
    Unit: [
      ['Description', description],
      ['Wants', 'network-online.target'],
      ['After', 'network-online.target tulle-store.service'],
      NEVER_GIVE_UP,
      ['Before', 'docker.service'],
      ...relations,
    ],
    Service: [
      ['Type', 'notify'],
      ['ExecStart', commandLine(daemon, options)],
      ['EnvironmentFile', `-${environmentFile(daemon)}`],
      ...RESTART,
      // An unreachable store is waited for, which is not a failure to start.
      ['TimeoutStartSec', 'infinity'],
      // The forwarder goes on while the agent is restarted; the agent adopts it. `cleanup` ends it.
      ['KillMode', 'process'],
      ['WatchdogSec', '60'],
      ['RuntimeDirectory', 'tulle flannel'],
      // Docker and CNI read the subnet file also while the agent is away.
      ['RuntimeDirectoryPreserve', 'yes'],
      ['StateDirectory', 'tulle'],
      ['StateDirectoryMode', '0700'],
      [
        'CapabilityBoundingSet',
        'CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_SYS_ADMIN CAP_SYS_MODULE CAP_DAC_OVERRIDE CAP_CHOWN CAP_FOWNER',
      ],
      ['RestrictAddressFamilies', 'AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET'],
      ...COMMON,
    ],
    Install: [['WantedBy', 'multi-user.target']],
  });
}

function storeUnit(options: UnitOptions): string {
  return unit({
    Unit: [
      ['Description', 'Tulle store: the etcd-compatible registry of the network'],
      ['Wants', 'network-online.target'],
      ['After', 'network-online.target'],
      NEVER_GIVE_UP,
    ],
    Service: [
      ['ExecStart', commandLine('store', options)],
      ['EnvironmentFile', `-${environmentFile('store')}`],
      ...RESTART,
      ['StateDirectory', 'tulle/store'],
      ['StateDirectoryMode', '0700'],
      ['CapabilityBoundingSet', 'CAP_NET_BIND_SERVICE CAP_DAC_OVERRIDE'],
      ['RestrictAddressFamilies', 'AF_UNIX AF_INET AF_INET6'],
      ['ProtectKernelModules', 'yes'],
      ['ProtectKernelTunables', 'yes'],
      ...COMMON,
    ],
    Install: [['WantedBy', 'multi-user.target']],
  });
}

type Setting = readonly [name: string, value: string];

/** systemd would leave a service alone that has ended a few times in ten seconds. */
const NEVER_GIVE_UP: Setting = ['StartLimitIntervalSec', '0'];

const RESTART: readonly Setting[] = [
  ['Restart', 'always'],
  ['RestartSec', '2'],
];

const COMMON: readonly Setting[] = [
  ['NoNewPrivileges', 'yes'],
  ['ProtectSystem', 'full'],
  ['ProtectHome', 'read-only'],
  ['PrivateTmp', 'yes'],
  ['ProtectControlGroups', 'yes'],
  ['ProtectClock', 'yes'],
  ['RestrictRealtime', 'yes'],
  ['RestrictSUIDSGID', 'yes'],
  ['LockPersonality', 'yes'],
  ['SystemCallArchitectures', 'native'],
];

function unit(sections: Readonly<Record<string, readonly Setting[]>>): string {
  return Object.entries(sections)
    .map(([name, settings]) => `[${name}]\n${settings.map(([key, value]) => `${key}=${value}\n`).join('')}`)
    .join('\n');
}

function commandLine(daemon: Daemon, { program, flags }: UnitOptions): string {
  return [program, daemon, ...flags].map(quote).join(' ');
}

/** A word of a command line as systemd.service(5) reads it: `%` and `$` have a meaning, white space separates. */
function quote(word: string): string {
  const plain = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  if (/^[\w@%+=:,./$-]+$/.test(plain)) return plain;
  return `"${plain.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
}
