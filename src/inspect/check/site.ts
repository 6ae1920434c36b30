/**
 * Whom a check asks: this host and its peers, as its agent knows them. Where no agent answers, the kernel's own entries say
 * it (`kernel-site.ts`).
 */
import type { BackendStatus, PeerStatus, Status } from '../../api/status.ts';
import { Ip } from '../../base/ip.ts';
import { familiesOf, mapFamilies, type PerFamily, perFamily, valuesOf } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';

export interface CheckSite {
  /** Name of this host. */
  readonly host: string;
  /** The blocks of the overlay. */
  readonly networks: PerFamily<Prefix>;
  /** Of this host; empty without a lease. */
  readonly subnets: PerFamily<Prefix>;
  /** Addresses of the underlay's link, which this host sends from. */
  readonly underlay: PerFamily<Ip>;
  /** Name of that link; absent where it is not known. */
  readonly underlayLink?: string;
  /** Bytes of the largest IP packet of the underlay's link, and of the overlay; 0 where they are not known. */
  readonly underlayMtu: number;
  readonly overlayMtu: number;
  /** Families in which the overlay has a device with the base address of the subnet. */
  readonly tunnel: PerFamily<string>;
  /** UDP port of that device; absent for one without. */
  readonly tunnelPort?: number;
  readonly peers: readonly PeerSite[];
}

export interface PeerSite {
  /** Of its lease; absent where only the kernel is known. */
  readonly key?: string;
  /** What a person calls the host: its name, or its underlay address. */
  readonly name: string;
  /** All that it may be asked for by. */
  readonly names: readonly string[];
  readonly subnets: PerFamily<Prefix>;
  readonly underlay: PerFamily<Ip>;
  /** Written by a Tulle agent, which can be asked; false for flannel's. */
  readonly isTulle: boolean;
  readonly backend?: string;
  /** Over which links this host sends to it, for people; empty where it sends nothing. */
  readonly links: readonly string[];
  /** Why nothing is sent to it: its lease cannot be used. */
  readonly unused?: string;
}

export function siteOf(status: Status): CheckSite {
  const { host, network, lease, underlay, backend, peers } = status;
  const subnets = mapFamilies(lease?.subnet ?? {}, text => Prefix.tryParse(text));
  return {
    host: host.name,
    networks: perFamily(family => {
      const block = network.config?.[family]?.network;
      return block === undefined ? undefined : Prefix.tryParse(block);
    }),
    subnets,
    underlay: mapFamilies(underlay?.ip ?? {}, text => Ip.tryParse(text)),
    ...(underlay !== undefined && { underlayLink: underlay.link.name }),
    underlayMtu: underlay?.link.currentMtu ?? underlay?.link.mtu ?? 0,
    overlayMtu: backend?.overlayMtu ?? 0,
    tunnel: mapFamilies(subnets, subnet => deviceWith(backend, subnet.ip)),
    ...tunnelPortOf(backend),
    peers: peers.map(peerSite),
  };
}

const deviceWith = (backend: BackendStatus | undefined, base: Ip): string | undefined =>
  backend?.devices.find(({ addresses }) => addresses?.some(text => text.split('/')[0] === String(base)))
    ?.name;

function tunnelPortOf(backend: BackendStatus | undefined): Pick<CheckSite, 'tunnelPort'> {
  const tunnelPort = backend?.devices.find(({ port }) => port !== undefined)?.port;
  return tunnelPort === undefined ? {} : { tunnelPort };
}

function peerSite(peer: PeerStatus): PeerSite {
  const { key, subnet, publicIp, hostId, hostName, backendType, links = [], state, reason } = peer;
  const underlay = mapFamilies(publicIp, text => Ip.tryParse(text));
  const isUnused = state === 'rejected' || state === 'unreachable';
  return {
    key,
    name: hostName ?? valuesOf(publicIp)[0] ?? key,
    names: [hostName, hostId, key, ...valuesOf(publicIp), ...valuesOf(subnet)].filter(
      name => name !== undefined,
    ),
    subnets: mapFamilies(subnet, text => Prefix.tryParse(text)),
    underlay,
    isTulle: hostId !== undefined,
    ...(backendType !== undefined && { backend: backendType }),
    links,
    ...(isUnused && { unused: reason ?? state }),
  };
}

/** What to do where this host knows no other by name: most often the command was meant for another host. */
export const noPeersHint = ({ host }: Pick<CheckSite, 'host'>, command: 'check' | 'trace'): string =>
  `this host, ${host}, knows no other: \`tulle status\` says why; on a host of a lab: \`tulle lab exec docker1 -- tulle ${command} ...\``;

/** Families in which packets go between containers of this host and of the peer. */
export const commonFamilies = (site: CheckSite, peer: PeerSite) =>
  familiesOf(site.subnets).filter(family => peer.subnets[family] !== undefined);
