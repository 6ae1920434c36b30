/** Flags of flannel's whose features do not exist here. */

/** A flag of flannel's that has no effect here: it is taken with a warning, so that flannel's unit files work. */
export interface UnusedFlag {
  readonly name: string;
  /** flannel's default, which is worth no warning. */
  readonly default: string;
  readonly boolean: boolean;
  readonly why: string;
  /** Without the feature this host would not do what it is asked for, so that the flag is an error. */
  readonly refused?: true;
}

const kubernetes = 'Tulle takes its configuration from etcd, not from Kubernetes';
const logging = 'use -v to see more';

export const UNUSED_FLAGS: readonly UnusedFlag[] = [
  { name: 'kube-subnet-mgr', default: 'false', boolean: true, why: kubernetes, refused: true },
  { name: 'kube-api-url', default: '', boolean: false, why: kubernetes },
  { name: 'kubeconfig-file', default: '', boolean: false, why: kubernetes },
  { name: 'kube-annotation-prefix', default: 'flannel.alpha.coreos.com', boolean: false, why: kubernetes },
  { name: 'net-config-path', default: '/etc/kube-flannel/net-conf.json', boolean: false, why: kubernetes },
  { name: 'set-node-network-unavailable', default: 'true', boolean: true, why: kubernetes },
  {
    name: 'ip-blackhole-route',
    default: 'false',
    boolean: true,
    why: 'Tulle does not add a blackhole route for its own subnet',
  },
  { name: 'vmodule', default: '', boolean: false, why: logging },
  { name: 'log_backtrace_at', default: '', boolean: false, why: logging },
];
