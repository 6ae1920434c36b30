/** The packets of the overlay, one by one, as they pass the hooks of netfilter on one host. Pure. */

import type { Family, Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { OVERLAY_MARK } from '../../firewall/packets/overlay-packets.ts';
import type { Packet } from '../../firewall/packets/packet.ts';
import { HERE } from './check.ts';

/** `out`, `in`: of containers; `tunnel`: wrapped, between hosts; `own`: of this host itself; `ping`: between hosts, not wrapped. */
export type FlowKind =
  | 'arp in'
  | 'arp out'
  | 'out'
  | 'in'
  | 'tunnel out'
  | 'tunnel in'
  | 'own out'
  | 'own in'
  | 'ping out'
  | 'ping in';

export interface OverlayFlow {
  readonly kind: FlowKind;
  /** Name of the other host. */
  readonly peer: string;
  readonly source: Ip;
  readonly destination: Ip;
  /** Names of the links it comes in and goes out by on this host. */
  readonly input?: string;
  readonly output?: string;
  /** The port of the bridge that the container is behind. */
  readonly port?: string;
  /** Absent for ARP. */
  readonly protocol?: NonNullable<Packet['protocol']>;
  readonly toPort?: number;
}

/** What the overlay itself needs: a rule that stops it is an error. */
export const isOverlay = (kind: FlowKind): boolean => !kind.startsWith('ping') && !kind.startsWith('own');

const HOOKS: Readonly<Record<FlowKind, readonly string[]>> = {
  'arp in': ['ingress', 'input'],
  'arp out': ['output', 'egress'],
  out: ['ingress', 'prerouting', 'forward', 'postrouting', 'egress'],
  in: ['ingress', 'prerouting', 'forward', 'postrouting', 'egress'],
  'tunnel out': ['output', 'postrouting', 'egress'],
  'tunnel in': ['ingress', 'prerouting', 'input'],
  'own out': ['output', 'postrouting', 'egress'],
  'own in': ['ingress', 'prerouting', 'input'],
  'ping out': ['output', 'postrouting', 'egress'],
  'ping in': ['ingress', 'prerouting', 'input'],
};

/** Hooks of the family bridge: the bridge hands up what containers send, and takes what they get. */
const BRIDGE_HOOKS: Partial<Record<FlowKind, readonly string[]>> = {
  out: ['prerouting', 'input'],
  in: ['output', 'postrouting'],
  'arp in': ['prerouting', 'input'],
  'arp out': ['output', 'postrouting'],
};

/** Families of chains that see ARP; those for devices at the hook `ingress` of the family inet see IP only. */
const ARP_FAMILIES = ['arp', 'bridge', 'netdev'];

/** Hooks before the mark of the overlay is made. */
const UNMARKED = ['ingress', 'prerouting'];

/** A chain that the kernel calls, as far as it matters which packets it sees. */
export interface ChainPlace {
  readonly family: string;
  readonly hook: string;
  /** Names of the links that a chain of a device is for. */
  readonly devices: readonly string[];
}

const FAMILY_OF: Readonly<Record<string, Family>> = { ip: 'ipv4', ip6: 'ipv6' };

/** The packet as the chain sees it; undefined for a chain that it does not meet. */
export function packetAt(flow: OverlayFlow, { family, hook, devices }: ChainPlace): Packet | undefined {
  const { kind, source, destination, protocol, toPort, port } = flow;
  const own = FAMILY_OF[family];
  const isArp = kind.startsWith('arp');
  if (isArp ? !ARP_FAMILIES.includes(family) : family === 'arp') return undefined;
  if (own !== undefined && own !== source.family) return undefined;
  const isBridge = family === 'bridge';
  const hooks = isBridge ? BRIDGE_HOOKS[kind] : HOOKS[kind];
  if (hooks?.includes(hook) !== true) return undefined;
  const input = isBridge ? port : flow.input;
  const output = isBridge ? port : flow.output;
  if (family === 'netdev' || (family === 'inet' && hook === 'ingress')) {
    const passed = hook === 'ingress' ? [flow.input, port] : [flow.output, port];
    const sees =
      kind === 'in' && hook === 'ingress'
        ? [flow.input]
        : kind === 'out' && hook === 'egress'
          ? [flow.output]
          : passed;
    if (!sees.some(name => name !== undefined && devices.includes(name))) return undefined;
  }
  const hasInput = ['ingress', 'prerouting', 'input', 'forward'].includes(hook) && input !== undefined;
  const hasOutput = ['forward', 'output', 'postrouting', 'egress'].includes(hook) && output !== undefined;
  return {
    name: kind,
    family: source.family,
    source: [Prefix.ofOne(source)],
    destination: [Prefix.ofOne(destination)],
    ...(hasInput && { input: [input] }),
    ...(hasOutput && { output: [output] }),
    ...(isArp && { isArp }),
    ...(protocol && { protocol }),
    ...(toPort !== undefined && { destinationPorts: [toPort] }),
    mark: kind === 'in' && !UNMARKED.includes(hook) ? OVERLAY_MARK : 0,
    hostLength: source.family === 'ipv4' ? 32 : 128,
  };
}

const PHRASES: Readonly<Record<FlowKind, (peers: string) => string>> = {
  'arp in': peers => `that come in as ARP of ${peers}`,
  'arp out': peers => `that leave as ARP for ${peers}`,
  out: peers => `of containers of ${HERE} for those of ${peers}`,
  in: peers => `of ${peers} for containers of ${HERE}`,
  'tunnel out': peers => `of the tunnel to ${peers}`,
  'tunnel in': peers => `of the tunnel from ${peers}`,
  'own out': peers => `of ${HERE} itself for containers of ${peers}`,
  'own in': peers => `of ${peers} for ${HERE} itself`,
  'ping out': peers => `of ${HERE} itself to ${peers} outside of the tunnel`,
  'ping in': peers => `of ${peers} to ${HERE} itself outside of the tunnel`,
};

/** `ICMP packets of docker2 for containers here`. */
export function flowsText(flows: readonly OverlayFlow[]): string {
  const protocols = [
    ...new Set(
      flows.filter(({ kind }) => !kind.startsWith('tunnel')).flatMap(({ protocol }) => protocol ?? []),
    ),
  ];
  const isSome =
    protocols.length > 0 && !['icmp', 'tcp', 'udp'].every(one => protocols.some(each => each.endsWith(one)));
  const names = [...new Set(protocols.map(each => (each === 'ipv6-icmp' ? 'ICMPv6' : each.toUpperCase())))];
  const kinds = [...Map.groupBy(flows, ({ kind }) => kind)];
  const texts = kinds.map(([kind, group]) => {
    const peers = [...new Set(group.map(({ peer }) => peer))];
    const shown = peers.slice(0, 5).join(', ');
    return PHRASES[kind](peers.length > 5 ? `${shown} and ${peers.length - 5} more` : shown);
  });
  return `${isSome ? `${names.join(' and ')} ` : ''}packets ${texts.join(' and ')}`;
}
