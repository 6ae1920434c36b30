/** Why a container of this host cannot have an address of an L2 network, as far as is known here. */
import { defined } from '../base/defined.ts';
import { FAMILY_LABELS, type Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { PerFamily } from '../base/per-family.ts';
import { isAddressOfHost } from '../subnet/segment/check-segment.ts';
import {
  connectPart,
  dockerPart,
  nameOfHost,
  rangeHolding,
  type Segment,
  type SegmentEndpoint,
  type SegmentSnapshot,
} from '../subnet/segment/segment.ts';
import { gatewayMac } from '../subnet/segment/segment-mac.ts';
import type { GivenAddress } from './address-book.ts';
import type { ReserveRequest } from './choose-address.ts';
import type { ConnectRequest } from './connection.ts';
import type { HostMarks } from './own-ranges.ts';

/** What is known when an address is asked for. */
export interface AddressSite {
  readonly found: SegmentSnapshot;
  readonly host: HostMarks;
  /** Whether the store answers. */
  readonly isConnected: boolean;
}

/**
 * @param present addresses that the container has already
 * @returns every reason at once
 */
export function problemsOfRequest(
  { container, mac, ips = [] }: ConnectRequest,
  present: PerFamily<Ip>,
  site: AddressSite & { readonly given: readonly GivenAddress[] },
): string[] {
  const { found, host, given } = site;
  const { segment, endpoints } = found;
  const stations = [...endpoints.values(), ...given.map(one => endpointOf(one, host))];
  const rival = stations.find(
    one => one.mac.equals(mac) && (one.container !== container || one.hostId !== host.hostId),
  );
  const ofIps = ips.flatMap((ip, at) => {
    if (present[ip.family]?.equals(ip)) return [];
    if (present[ip.family] !== undefined) return [`${container} has ${present[ip.family]} already`];
    if (ips.findIndex(one => one.family === ip.family) < at) return [`${ip} is one more of its family`];
    return problemsOfAddress(ip, site);
  });
  return [...problemsOfMac(mac, segment, rival), ...ofIps];
}

/** As `problemsOfRequest`, of what an engine asks for. */
export function problemsOfReservation({ family, ip, mac }: ReserveRequest, site: AddressSite): string[] {
  const { segment, endpoints } = site.found;
  if (segment.subnets[family] === undefined)
    return [`${segment.name} has no ${FAMILY_LABELS[family]} subnet`];
  let rival: SegmentEndpoint | undefined;
  for (const one of endpoints.values()) {
    if (one.hostId !== site.host.hostId && one.mac.equals(mac)) rival = one;
  }
  return [...problemsOfMac(mac, segment, rival), ...(ip === undefined ? [] : problemsOfAddress(ip, site))];
}

function problemsOfMac(mac: Mac, segment: Segment, rival: SegmentEndpoint | undefined): string[] {
  if (mac.equals(gatewayMac(segment))) return [`${mac} is the MAC address of the gateway of ${segment.name}`];
  return rival === undefined
    ? []
    : [
        `${mac} is the MAC address of ${rival.container} on ${nameOfHost(rival)}: give this container another`,
      ];
}

function problemsOfAddress(ip: Ip, { found, host, isConnected }: AddressSite): string[] {
  const { segment, endpoints } = found;
  // Who has it says more than who gives it out.
  if (endpoints.has(ip.key)) return [];
  const holder = rangeHolding(found, ip);
  const isOfAnother = holder !== undefined && holder.hostId !== host.hostId;
  if (!isUsable(ip, segment)) return [`${ip} is no address that a container of ${segment.name} can have`];
  if (isOfAnother && segment.docker) {
    return [`${ip} is in ${holder.block}, out of which Docker on ${nameOfHost(holder)} gives addresses`];
  }
  if (holder?.hostId === host.hostId && !connectPart(segment, holder.block).contains(ip)) {
    return [`${ip} is in ${dockerPart(holder.block)}, out of which Docker on this host gives addresses`];
  }
  if (holder?.hostId !== host.hostId && !isConnected) {
    return [`${ip} is in no range of this host, and the store does not answer`];
  }
  return [];
}

export const endpointOf = (
  { ip, mac, container }: GivenAddress,
  { hostId, hostName }: HostMarks,
): SegmentEndpoint => ({ ip, mac, container, hostId, ...defined({ hostName }) });

/** Whether a container can have it, as far as the network alone says. */
export function isUsable(ip: Ip, { subnets, gateways }: Pick<Segment, 'subnets' | 'gateways'>): boolean {
  const subnet = subnets[ip.family];
  return subnet !== undefined && isAddressOfHost(ip, subnet) && gateways[ip.family]?.equals(ip) !== true;
}
