/** Which backends there are, by the Type of the configuration. */
import { ConfigError } from '../base/errors.ts';
import type { Backend, BackendContext } from './backend.ts';
import { vxlanBackend } from './vxlan.ts';

const BACKENDS: Readonly<Record<string, (context: BackendContext) => Backend>> = {
  vxlan: vxlanBackend,
};

/** Types that flanneld knows (flannel main.go, pkg/backend/*) and that are not built here. */
const KNOWN_TO_FLANNEL = [
  'alloc',
  'extension',
  'host-gw',
  'ipip',
  'ipsec',
  'tencent-vpc',
  'udp',
  'wireguard',
];

/** The backend that the configuration asks for, on this host. @throws ConfigError */
export function createBackend(context: BackendContext): Backend {
  const { type } = context.config.backend;
  const create = Object.hasOwn(BACKENDS, type) ? BACKENDS[type] : undefined;
  if (create !== undefined) return create(context);
  const isKnown = KNOWN_TO_FLANNEL.includes(type);
  const available = Object.keys(BACKENDS).join(', ');
  throw new ConfigError('network configuration', [
    {
      path: 'Backend.Type',
      value: type,
      message: isKnown
        ? `flannel's backend ${type} is not built into this version of Tulle`
        : 'is no backend of flannel or Tulle',
      hint:
        type === 'udp'
          ? `a configuration without a Backend means udp; available: ${available}`
          : `available: ${available}`,
    },
  ]);
}
