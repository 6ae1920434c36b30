/** Which backends there are, by the Type of the configuration. */
import { ConfigError, type Problem } from '../base/errors.ts';
import type { BackendFindings, NetworkConfig } from '../subnet/config/config.ts';
import type { VtepMacsOf } from '../subnet/peers/peer-index.ts';
import { allocBackend } from './alloc.ts';
import { autoBackend, parseAutoOptions } from './auto.ts';
import type { Backend, BackendContext } from './backend.ts';
import { checkExtensionOptions, extensionBackend } from './extension.ts';
import { hostGwBackend } from './host-gw.ts';
import { ipipBackend, parseIpipOptions } from './ipip.ts';
import { noOptions } from './options.ts';
import { parseUdpOptions, udpBackend } from './udp.ts';
import { vxlanBackend, vxlanVtepMacs } from './vxlan.ts';
import { parseVxlanOptions } from './vxlan-options.ts';

interface BackendKind {
  readonly create: (context: BackendContext) => Backend;
  /** Appends what is wrong with the options whatever the host, and what is only odd. */
  readonly check: (
    options: Readonly<Record<string, unknown>>,
    problems: Problem[],
    warnings: Problem[],
  ) => unknown;
  /** Of a backend whose hosts are known by MAC address in the tunnel. */
  readonly vtepMacs?: VtepMacsOf;
}

const BACKENDS: Readonly<Record<string, BackendKind>> = {
  vxlan: { create: vxlanBackend, check: parseVxlanOptions, vtepMacs: vxlanVtepMacs },
  'host-gw': { create: hostGwBackend, check: noOptions('host-gw') },
  udp: { create: udpBackend, check: parseUdpOptions },
  ipip: { create: ipipBackend, check: parseIpipOptions },
  auto: { create: autoBackend, check: parseAutoOptions },
  extension: { create: extensionBackend, check: checkExtensionOptions },
  alloc: { create: allocBackend, check: noOptions('alloc') },
};

/** Types that flanneld knows (flannel main.go, pkg/backend/*) and that are not built here. */
const KNOWN_TO_FLANNEL = ['ipsec', 'tencent-vpc', 'wireguard'];

/** The backend that the configuration asks for, on this host. @throws ConfigError */
export function createBackend(context: BackendContext): Backend {
  const kind = kindOf(context.config.backend.type);
  if (kind === undefined)
    throw new ConfigError('network configuration', [unknownType(context.config.backend.type)]);
  return kind.create(context);
}

/** What is wrong with the Backend of a configuration on every host, and what is only odd: its type, its options. */
export function checkBackend({ type, options }: NetworkConfig['backend']): BackendFindings {
  const kind = kindOf(type);
  if (kind === undefined) return { problems: [unknownType(type)], warnings: [] };
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  kind.check(options, problems, warnings);
  return { problems, warnings };
}

/** What a lease of any backend names its host by on the tunnel. */
export const vtepMacsOf: VtepMacsOf = lease =>
  kindOf(lease.attributes.backendType ?? '')?.vtepMacs?.(lease) ?? [];

const kindOf = (type: string): BackendKind | undefined =>
  Object.hasOwn(BACKENDS, type) ? BACKENDS[type] : undefined;

function unknownType(type: string): Problem {
  const isKnown = KNOWN_TO_FLANNEL.includes(type);
  const available = Object.keys(BACKENDS).join(', ');
  return {
    path: 'Backend.Type',
    value: type,
    message: isKnown
      ? `flannel's backend ${type} is not built into this version of Tulle`
      : 'is not a backend of flannel or Tulle',
    hint: `available: ${available}`,
  };
}
