/**
 * Where this host answers questions about names, as a pure function of its networks and links:
 *
 *     each network's bridge       at the gateway addresses of the network, and at 169.254.53.53
 *     bridges of engines          at 169.254.53.53, for what other servers know: a daemon.json that names it is for all
 *                                 containers of the host, also for those on networks of others
 *     lo                          at 169.254.53.53, for this host itself
 *
 * Each is bound to its link, so that nothing that comes in by another one reaches it.
 */
import { Ip } from '../../base/ip.ts';
import { type PerFamily, valuesOf } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import type { DnsRedirect } from '../../firewall/dns/redirect-table.ts';
import type { Address, Link } from '../../netlink/route/objects.ts';
import type { HostNetwork } from '../underlay.ts';

/** The same on every host, as the servers of containers have to be known before they run; on loopback. */
export const RESOLVER_IP = Ip.parse('169.254.53.53');
/** What the address on loopback is called, which says whose it is (IFA_LABEL). */
export const RESOLVER_LABEL = 'lo:tulle';

/** A network of this host whose containers may ask. */
export interface ResolverNetwork {
  readonly network: string;
  /** Name of the link. */
  readonly bridge: string;
  /** Addresses of this host on the bridge; none for an internal network. */
  readonly gateways: PerFamily<Ip>;
  /** What containers on the bridge have addresses of. */
  readonly subnets: PerFamily<Prefix>;
  /** What containers have addresses of over all hosts. */
  readonly networks: PerFamily<Prefix>;
  /** Whether questions to other servers are led to the resolver. */
  readonly dns: boolean;
}

export interface PlannedListener {
  readonly link: string;
  readonly index: number;
  readonly ip: Ip;
  /** Blocks of those who get an answer. */
  readonly askers: readonly Prefix[];
}

export interface ResolverPlan {
  readonly listeners: readonly PlannedListener[];
  readonly redirect: DnsRedirect | undefined;
  /** Of the address on loopback: whether it is there, or the name of another link that has it. */
  readonly address: 'present' | 'missing' | { readonly takenBy: string };
}

/** Bridges that container engines make, and whose containers have the servers of the engine. */
const ENGINE_BRIDGE = /^(docker0|br-[0-9a-f]{12}|cni\d+|cni-podman\d+|podman\d+)$/;

const EVERYBODY = [Prefix.parse('0.0.0.0/0'), Prefix.parse('::/0')];

export function planResolver(
  networks: readonly ResolverNetwork[],
  { links, addresses }: Pick<HostNetwork, 'links' | 'addresses'>,
): ResolverPlan {
  const holder = addresses.find(({ ip }) => ip.equals(RESOLVER_IP));
  const loopback = links.find(({ name }) => name === 'lo');
  const isTaken = holder !== undefined && holder.index !== loopback?.index;
  const fixed = isTaken ? [] : [RESOLVER_IP];
  const present = networks.flatMap(network => {
    const link = links.find(({ name }) => name === network.bridge);
    return link === undefined ? [] : [{ network, link }];
  });
  const listeners = [
    ...(loopback === undefined ? [] : [{ link: loopback, ips: fixed, askers: EVERYBODY }]),
    ...present.map(({ network, link }) => ({
      link,
      ips: [...valuesOf(network.gateways), ...fixed],
      askers: valuesOf(network.subnets),
    })),
    ...enginesBridges(networks, links).map(link => ({
      link,
      ips: fixed,
      askers: blocksOn(link, addresses),
    })),
  ].flatMap(({ link: { name, index }, ips, askers }) => ips.map(ip => ({ link: name, index, ip, askers })));
  return {
    listeners,
    redirect: redirectOf(networks, listeners),
    address: isTaken
      ? { takenBy: links.find(({ index }) => index === holder.index)?.name ?? `link ${holder.index}` }
      : holder === undefined
        ? 'missing'
        : 'present',
  };
}

function enginesBridges(networks: readonly ResolverNetwork[], links: readonly Link[]): readonly Link[] {
  const own = new Set(networks.map(({ bridge }) => bridge));
  return links.filter(
    ({ name, info }) => info?.kind === 'bridge' && ENGINE_BRIDGE.test(name) && !own.has(name),
  );
}

const blocksOn = (link: Link, addresses: readonly Address[]) =>
  addresses.flatMap(({ index, ip, length }) => (index === link.index ? [Prefix.of(ip, length)] : []));

function redirectOf(
  networks: readonly ResolverNetwork[],
  listeners: readonly PlannedListener[],
): DnsRedirect | undefined {
  if (networks.length === 0) return undefined;
  const redirected = networks.filter(({ dns, gateways }) => dns && valuesOf(gateways).length > 0);
  const bridges = new Set(listeners.map(({ link }) => link).filter(link => link !== 'lo'));
  const blocks = networks.flatMap(network => [...valuesOf(network.subnets), ...valuesOf(network.networks)]);
  const own = [...new Map(blocks.map(block => [`${block}`, block])).values()];
  return {
    redirected: redirected.map(({ bridge, gateways }) => ({ bridge, gateways })),
    bridges: [...bridges],
    own: [...own, Prefix.ofOne(RESOLVER_IP)],
  };
}

/** The same for the same listener. */
export const listenerText = ({ link, index, ip, askers }: PlannedListener): string =>
  `${link} ${index} ${ip} ${askers.join(' ')}`;
