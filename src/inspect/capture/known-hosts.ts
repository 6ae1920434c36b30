/** What the agent of this host knows that makes frames readable: links of the network, hosts and their addresses. */

import type { Status } from '../../api/status.ts';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { printable } from '../../base/printable.ts';
import type { AddressesOf } from './filter.ts';
import { ADDRESS_ITSELF, type HostNameOf } from './short-form.ts';

export interface KnownHosts {
  /** The underlay's link and the overlay's devices. */
  readonly links: readonly string[];
  readonly vxlanPorts: readonly number[];
  readonly nameOf: HostNameOf;
  readonly addressesOf: AddressesOf;
}

/** Where no agent runs. */
export const NO_HOSTS: KnownHosts = {
  links: [],
  vxlanPorts: [],
  nameOf: ADDRESS_ITSELF,
  addressesOf: () => undefined,
};

export function knownHostsIn({ host, underlay, backend, lease, peers }: Status): KnownHosts {
  const names = new Map<number | bigint, string>();
  const addresses = new Map<string, Prefix[]>();
  const add = (name: string, ips: readonly string[], subnets: readonly string[]) => {
    const known = ips.flatMap(text => Ip.tryParse(text) ?? []);
    // The first one wins: two hosts that announce one address are told apart by nobody.
    for (const { key } of known) if (!names.has(key)) names.set(key, nameText(name));
    const prefixes = [...known.map(Prefix.ofOne), ...subnets.flatMap(text => Prefix.tryParse(text) ?? [])];
    addresses.set(name, [...(addresses.get(name) ?? []), ...prefixes]);
  };
  const own = [...Object.values(underlay?.ip ?? {}), ...Object.values(underlay?.publicIp ?? {})];
  add(host.name, own, Object.values(lease?.subnet ?? {}));
  for (const { hostName, publicIp, subnet } of peers)
    if (hostName !== undefined) add(hostName, Object.values(publicIp), Object.values(subnet));

  const devices = backend?.devices ?? [];
  return {
    links: [
      ...new Set([
        ...(underlay === undefined ? [] : [underlay.link.name]),
        ...devices.map(({ name }) => name),
      ]),
    ],
    vxlanPorts: devices.flatMap(({ kind, port }) => (kind === 'vxlan' && port !== undefined ? [port] : [])),
    nameOf: ip => names.get(ip.key) ?? String(ip),
    addressesOf: name => addresses.get(name),
  };
}

/** A host may call itself anything; here its name is one word of a line. */
const LONGEST_NAME = 64;
const nameText = (name: string) => printable(name).replaceAll(' ', '\\u0020').slice(0, LONGEST_NAME);
