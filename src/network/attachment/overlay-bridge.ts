/** The bridge of the overlay's containers: what it should be, and what is on it. Pure. */
import { enumerate } from '../../base/enumerate.ts';
import { familiesOf, mapFamilies, type PerFamily, valuesOf } from '../../base/per-family.ts';
import type { Prefix } from '../../base/prefix.ts';
import type { DesiredHost } from '../../dataplane/desired.ts';
import type { GivenAddress } from '../../ipam/address-book.ts';
import type { Link } from '../../netlink/route/objects.ts';
import { derivedMac } from '../../subnet/segment/segment-mac.ts';
import type { OwnedWarning } from '../reports.ts';
import { attachedPort, type EndpointPort } from '../segment/endpoints/endpoint-ports.ts';
import { type ContainerNetwork, OVERLAY_NETWORK } from './attachments.ts';

export const OVERLAY_BRIDGE = 'tulle0';

/** Containers that a warning names. */
const MOST_NAMED = 5;

/** The same on each start, so that containers do not have to ask for their gateway again. */
const overlayBridgeMac = (hostId: string) => derivedMac(`overlay bridge on ${hostId}`);

export const isOverlayBridge = ({ name, info, mac }: Link, hostId: string) =>
  name === OVERLAY_BRIDGE && info?.kind === 'bridge' && overlayBridgeMac(hostId).equals(mac);

/** @param networks that this host has or had */
export function planOverlayBridge(
  { subnets, gateways, mtu }: ContainerNetwork,
  networks: readonly Prefix[],
  hostId: string,
): DesiredHost {
  const name = OVERLAY_BRIDGE;
  const forwarding = {
    link: name,
    path: `net/ipv4/conf/${name}/forwarding`,
    value: '1',
    whenever: { path: 'net/ipv4/ip_forward', value: '1' },
  };
  return {
    networks,
    links: [
      {
        kind: 'bridge',
        name,
        mac: overlayBridgeMac(hostId),
        mtu,
        stp: false,
        knownByMac: true,
      },
    ],
    addresses: valuesOf(
      mapFamilies(gateways, (ip, family) => {
        const length = subnets[family]?.length;
        return length === undefined ? undefined : { link: name, address: { ip, length } };
      }),
    ),
    sysctls: [
      ...(familiesOf(subnets).includes('ipv4') ? [forwarding] : []),
      { link: name, path: `net/ipv6/conf/${name}/accept_ra`, value: '0' },
      {
        link: name,
        path: `net/ipv6/conf/${name}/disable_ipv6`,
        value: subnets.ipv6 === undefined ? '1' : '0',
      },
    ],
  };
}

/** What engines have attached to the overlay. */
export function overlayPorts(links: readonly Link[]): EndpointPort[] {
  return links.flatMap(link => {
    const found = attachedPort(link);
    if (found?.name !== OVERLAY_NETWORK) return [];
    const { mac, container, ips } = found;
    return [{ link, mac, container, ips }];
  });
}

/** Containers whose addresses are another host's by now, or nobody's. */
export function formerAddressWarnings(
  held: readonly GivenAddress[],
  subnets: PerFamily<Prefix>,
): readonly OwnedWarning[] {
  const former = held.filter(({ ip }) => subnets[ip.family]?.contains(ip) !== true);
  if (former.length === 0) return [];
  const named = former.map(({ container, ip }) => `${container} (${ip})`);
  const own = valuesOf(subnets).join(' and ');
  return [
    {
      id: 'former-addresses',
      code: 'FORMER_ADDRESSES',
      severity: 'error',
      title: 'containers have addresses of a subnet that is not the one of this host any more',
      text: `${enumerate(named, { most: MOST_NAMED })} cannot talk to other hosts, whose way leads to ${own}`,
      hint: 'create these containers anew, or reconnect them to their network: they get addresses of the subnet of today',
    },
  ];
}
