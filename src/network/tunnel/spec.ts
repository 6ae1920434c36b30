/**
 * What a tunnel should be, as it was asked for: one VXLAN link between this host and another one, or a group of them.
 * Everything that can be judged without looking at the host is judged here, and all of it at once.
 */

import type { TunnelRequest } from '../../api/tunnels.ts';
import { defined } from '../../base/defined.ts';
import type { Problem } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import { LEAST_MTU } from '../../base/mtu.ts';
import { type InterfaceAddress, Prefix, parseInterfaceAddress } from '../../base/prefix.ts';

export interface TunnelSpec {
  readonly name: string;
  readonly vni: number;
  /** Where frames go: another host, or a multicast group. */
  readonly remote: Ip;
  /** Name of the underlay link. */
  readonly dev?: string;
  readonly local?: Ip;
  /** UDP port. */
  readonly port: number;
  readonly addresses: readonly InterfaceAddress[];
  /** Name of a Docker network or of a bridge. */
  readonly attach?: string;
  readonly learning: boolean;
  readonly mtu?: number;
  readonly ttl?: number;
}

/** 24 bits (RFC 7348, 5). 0 is left out: other implementations have no such network. */
const VNI = { min: 1, max: 2 ** 24 - 1 };
const PORT = { min: 1, max: 65_535 };
const MOST_MTU = 65_535;
const TTL = { min: 1, max: 255 };
/** The kernel's bound, without the NUL, and what it and `ip` accept in a name (dev_valid_name). */
const NAME = /^[A-Za-z0-9_][\w.@:-]{0,14}$/;
/** Devices of the overlay and of L2 networks; one of their name would be taken for theirs. */
const RESERVED = /^(flannel|tb-|tv-)/;

/** @returns the tunnel, or everything that is wrong with the request. */
export function readTunnel(request: TunnelRequest): TunnelSpec | readonly Problem[] {
  const problems: Problem[] = [];
  const wrong = (path: keyof TunnelRequest, value: unknown, message: string, hint?: string) =>
    void problems.push({ path, value, message, ...defined({ hint }) });
  const number = (path: 'vni' | 'port' | 'mtu' | 'ttl', { min, max }: { min: number; max: number }) => {
    const value = request[path];
    const fits = value === undefined || (Number.isInteger(value) && value >= min && value <= max);
    if (!fits) wrong(path, value, `want a whole number from ${min} to ${max}`);
  };
  const address = (path: 'remote' | 'group' | 'local'): Ip | undefined => {
    const given = request[path];
    const ip = given === undefined ? undefined : Ip.tryParse(given);
    if (given !== undefined && ip === undefined) wrong(path, given, 'is no IP address');
    return ip;
  };

  const { name, vni, port, learning } = request;
  if (!NAME.test(name)) wrong('name', name, 'want 1 to 15 letters, digits or any of _ . @ : -');
  else if (RESERVED.test(name))
    wrong('name', name, 'is reserved for devices of networks', 'choose another one');
  if (request.dev !== undefined && !NAME.test(request.dev)) wrong('dev', request.dev, 'is no name of a link');
  if (request.attach === '') wrong('attach', request.attach, 'is empty');
  number('vni', VNI);
  number('port', PORT);
  number('ttl', TTL);

  const [unicast, group, local] = [address('remote'), address('group'), address('local')];
  if (request.remote === undefined && request.group === undefined) {
    wrong('remote', undefined, 'is missing', 'name the other host, or a multicast group with its link');
  }
  if (request.remote !== undefined && request.group !== undefined) {
    wrong('group', request.group, 'a tunnel has a remote or a group, not both');
  }
  if (unicast?.isMulticast) wrong('remote', request.remote, 'is a multicast group', 'give it as the group');
  else if (unicast !== undefined && !isOfOneHost(unicast))
    wrong('remote', request.remote, 'is no address of another host');
  if (group !== undefined && !group.isMulticast) wrong('group', request.group, 'is no multicast group');
  if (request.group !== undefined && request.dev === undefined) {
    wrong('dev', undefined, 'is missing', 'a group is joined on one link: name it');
  }
  const remote = unicast ?? group;
  if (unicast?.isLinkLocal && unicast.family === 'ipv6' && request.dev === undefined) {
    wrong('dev', undefined, 'is missing', `${unicast} is of one link only: name it`);
  }
  if (local !== undefined && !isOfOneHost(local)) wrong('local', request.local, 'is no address of a host');
  if (local !== undefined && remote !== undefined && local.family !== remote.family) {
    wrong('local', request.local, `is of another family than ${remote}`);
  }
  const addresses = readAddresses(request, remote, wrong);
  if (request.attach !== undefined && request.addresses.length > 0) {
    wrong('addresses', request.addresses, 'a port of a bridge has none', 'give them to the bridge');
  }
  // With a smaller MTU the kernel takes IPv6 from a link, and does not give it back (addrconf_notify).
  const needsIpv6 = request.attach !== undefined || addresses.some(({ ip }) => ip.family === 'ipv6');
  number('mtu', { min: LEAST_MTU[needsIpv6 ? 'ipv6' : 'ipv4'], max: MOST_MTU });

  if (problems.length > 0 || remote === undefined) return problems;
  const { dev, attach, mtu, ttl } = request;
  return { name, vni, remote, port, addresses, learning, ...defined({ dev, local, attach, mtu, ttl }) };
}

export const isTunnel = (read: TunnelSpec | readonly Problem[]): read is TunnelSpec => !Array.isArray(read);

function readAddresses(
  { addresses }: TunnelRequest,
  remote: Ip | undefined,
  wrong: (path: 'addresses', value: unknown, message: string, hint?: string) => void,
): InterfaceAddress[] {
  const read: InterfaceAddress[] = [];
  for (const text of addresses) {
    let address: InterfaceAddress;
    try {
      address = parseInterfaceAddress(text);
    } catch {
      wrong('addresses', text, 'is no address with a prefix length', '10.0.0.106/24 is one');
      continue;
    }
    const block = Prefix.of(address.ip, address.length);
    if (!isOfOneHost(address.ip)) wrong('addresses', text, 'is no address of a host');
    else if (isNetworkOrBroadcast(address.ip, block)) {
      wrong('addresses', text, `is not one host of ${block}: it is the first or the last address`);
    } else if (read.some(({ ip }) => ip.equals(address.ip))) wrong('addresses', text, 'is given twice');
    else if (remote !== undefined && block.contains(remote)) {
      wrong('addresses', text, `${remote} is in ${block}, so that the tunnel would lead into itself`);
    } else read.push(address);
  }
  return read;
}

/** Whether packets can be from and to it alone. */
const isOfOneHost = (ip: Ip) =>
  !ip.isUnspecified && !ip.isLoopback && !ip.isMulticast && ip.toString() !== '255.255.255.255';

/** RFC 3021 and RFC 6164: a block of two has neither. IPv6 has no broadcast, and its first address is of routers. */
const isNetworkOrBroadcast = (ip: Ip, block: Prefix) =>
  ip.family === 'ipv4' && block.size > 2n && (ip.equals(block.ip) || ip.equals(block.last));
