/**
 * The agent's command line as a table: flannel's flags with flannel's names and defaults, and Tulle's own.
 *
 * A value is taken from the first place that has one: command line, `TULLE_<NAME>`, `FLANNELD_<NAME>`, default.
 * `<NAME>` is the flag in upper case with `_` for `-`; an empty variable counts as not set, as in flannel.
 */
import { DEFAULT_SOCKET } from '../../api/messages.ts';
import { LOCAL_STORE, NETWORK_PREFIX, STATE_DIRECTORY, SUBNET_FILE } from '../../console/defaults.ts';
import { LOG_FORMATS } from '../../console/log-format.ts';

export const FLAG_GROUPS = {
  store: 'Store:',
  underlay: 'Underlay (the network that carries the tunnels):',
  lease: 'Subnet:',
  firewall: 'Firewall:',
  health: 'Health and metrics (both off by default):',
  host: 'This host:',
} as const;

interface FlagBase {
  readonly name: string;
  readonly group: keyof typeof FLAG_GROUPS;
  readonly help: string;
}

export type Flag = FlagBase &
  (
    | { readonly kind: 'string'; readonly value: string; readonly default: string }
    | { readonly kind: 'strings'; readonly value: string; readonly default: '' }
    | { readonly kind: 'boolean'; readonly default: boolean }
    | {
        readonly kind: 'integer';
        readonly value: string;
        readonly default: number;
        readonly min: number;
        readonly max: number;
        /** A value out of range is taken for the nearest in it, with a warning: flannel starts with any. */
        readonly lenient?: true;
      }
  );

export const FLAGS = [
  {
    name: 'etcd-endpoints',
    group: 'store',
    kind: 'string',
    value: 'URLS',
    default: `http://127.0.0.1:4001,${LOCAL_STORE}`,
    help: 'etcd endpoints, separated by commas',
  },
  {
    name: 'etcd-prefix',
    group: 'store',
    kind: 'string',
    value: 'KEY',
    default: NETWORK_PREFIX,
    help: 'key prefix of this network',
  },
  {
    name: 'etcd-cafile',
    group: 'store',
    kind: 'string',
    value: 'FILE',
    default: '',
    help: 'certificate authority of the servers (PEM); sufficient on its own',
  },
  {
    name: 'etcd-certfile',
    group: 'store',
    kind: 'string',
    value: 'FILE',
    default: '',
    help: 'client certificate (PEM), together with --etcd-keyfile',
  },
  {
    name: 'etcd-keyfile',
    group: 'store',
    kind: 'string',
    value: 'FILE',
    default: '',
    help: 'key of the client certificate (PEM)',
  },
  {
    name: 'etcd-username',
    group: 'store',
    kind: 'string',
    value: 'NAME',
    default: '',
    help: 'user, when etcd has authentication enabled',
  },
  {
    name: 'etcd-password',
    group: 'store',
    kind: 'string',
    value: 'TEXT',
    default: '',
    help: 'password of that user; prefer TULLE_ETCD_PASSWORD, which `ps` does not show',
  },
  {
    name: 'iface',
    group: 'underlay',
    kind: 'strings',
    value: 'NAME|IP',
    default: '',
    help: 'interface, by name or by one of its addresses; repeatable, tried in order',
  },
  {
    name: 'iface-regex',
    group: 'underlay',
    kind: 'strings',
    value: 'REGEX',
    default: '',
    help: 'matched against addresses, then against names; repeatable, tried after all --iface',
  },
  {
    name: 'iface-can-reach',
    group: 'underlay',
    kind: 'string',
    value: 'IP',
    default: '',
    help: 'the interface that routes to this address; tried last',
  },
  {
    name: 'public-ip',
    group: 'underlay',
    kind: 'string',
    value: 'IP',
    default: '',
    help: 'IPv4 address to publish to peers; without an --iface flag it also selects the interface',
  },
  {
    name: 'public-ipv6',
    group: 'underlay',
    kind: 'string',
    value: 'IP',
    default: '',
    help: 'the same for IPv6',
  },
  {
    name: 'subnet-file',
    group: 'lease',
    kind: 'string',
    value: 'FILE',
    default: SUBNET_FILE,
    help: 'file with the subnet and the MTU, for Docker and CNI',
  },
  {
    name: 'subnet-lease-renew-margin',
    group: 'lease',
    kind: 'integer',
    value: 'MINUTES',
    default: 60,
    min: 1,
    max: 1439,
    help: 'the lease is renewed at least this long before it ends',
  },
  {
    name: 'release-lease',
    group: 'lease',
    kind: 'boolean',
    default: false,
    help: 'release the subnet on a graceful stop',
  },
  {
    name: 'ip-masq',
    group: 'firewall',
    kind: 'boolean',
    default: false,
    help: 'masquerade traffic that leaves the overlay',
  },
  {
    name: 'ip-masq-fully-random-disable',
    group: 'firewall',
    kind: 'boolean',
    default: false,
    help: 'let masquerading keep source ports where possible',
  },
  {
    name: 'iptables-forward-rules',
    group: 'firewall',
    kind: 'boolean',
    default: true,
    help: 'do not add rules that accept forwarded overlay packets',
  },
  {
    name: 'open-port',
    group: 'firewall',
    kind: 'boolean',
    default: true,
    help: 'do not add rules that accept tunnel packets of peers where INPUT drops them',
  },
  {
    name: 'iptables-resync',
    group: 'firewall',
    kind: 'integer',
    value: 'SECONDS',
    default: 5,
    min: 1,
    max: 86_400,
    lenient: true,
    help: 'interval of firewall comparisons, where the kernel does not announce changes',
  },
  {
    name: 'healthz-ip',
    group: 'health',
    kind: 'string',
    value: 'IP',
    default: '127.0.0.1',
    help: 'address of /healthz and /readyz (flannel listens on all addresses: give 0.0.0.0 for that)',
  },
  {
    name: 'healthz-port',
    group: 'health',
    kind: 'integer',
    value: 'PORT',
    default: 0,
    min: 0,
    max: 65_535,
    help: 'port of /healthz and /readyz; 0 is off',
  },
  {
    name: 'metrics-ip',
    group: 'health',
    kind: 'string',
    value: 'IP',
    default: '127.0.0.1',
    help: 'address of /metrics; beyond loopback it needs the three --metrics-*file flags',
  },
  {
    name: 'metrics-port',
    group: 'health',
    kind: 'integer',
    value: 'PORT',
    default: 0,
    min: 0,
    max: 65_535,
    help: 'port of Prometheus /metrics; 0 is off',
  },
  {
    name: 'metrics-certfile',
    group: 'health',
    kind: 'string',
    value: 'FILE',
    default: '',
    help: 'certificate of /metrics (PEM)',
  },
  {
    name: 'metrics-keyfile',
    group: 'health',
    kind: 'string',
    value: 'FILE',
    default: '',
    help: 'its key (PEM)',
  },
  {
    name: 'metrics-cafile',
    group: 'health',
    kind: 'string',
    value: 'FILE',
    default: '',
    help: 'certificate authority of the clients of /metrics (PEM)',
  },
  {
    name: 'state-dir',
    group: 'host',
    kind: 'string',
    value: 'DIR',
    default: '',
    help: `directory for the identity of the host and the last known peers (default: ${STATE_DIRECTORY}, or a directory in it for another --etcd-prefix)`,
  },
  {
    name: 'socket',
    group: 'host',
    kind: 'string',
    value: 'FILE',
    default: '',
    help: `unix socket of the API, which \`tulle status\` and other commands use (default: ${DEFAULT_SOCKET}, or one beside it for another --etcd-prefix)`,
  },
  {
    name: 'v',
    group: 'host',
    kind: 'integer',
    value: 'LEVEL',
    default: 0,
    min: 0,
    max: 10,
    lenient: true,
    help: 'verbosity of the log; 1 and more adds details',
  },
  {
    name: 'log-format',
    group: 'host',
    kind: 'string',
    value: LOG_FORMATS.join('|'),
    default: 'auto',
    help: 'format of the log; auto means text on a terminal and json elsewhere',
  },
] as const satisfies readonly Flag[];

export type FlagName = (typeof FLAGS)[number]['name'];
