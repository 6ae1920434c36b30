/**
 * What dockerd is told of the lease of its host, for those whose containers are on its default bridge: options of
 * dockerd and of daemon.json, which have the same names.
 */
import { valuesOf } from '../base/per-family.ts';
import { formatInterfaceAddress, Prefix } from '../base/prefix.ts';
import type { SubnetFile } from './subnet-env.ts';

/** By name of the option, in the order in which they are written. */
export type DockerSettings = ReadonlyMap<string, string | number | boolean | readonly string[]>;

/** Those that follow from a lease; a family that is not leased has none. */
export const LEASE_OPTIONS = ['bip', 'mtu', 'ip-masq', 'ipv6', 'fixed-cidr-v6'] as const;

/** The bridge of Docker has the first address of an IPv6 subnet, too, which it chooses itself. */
export function leaseSettings({ gateway, mtu, masquerade }: SubnetFile): DockerSettings {
  const { ipv4, ipv6 } = gateway;
  return new Map<string, string | number | boolean>([
    ...(ipv4 === undefined ? [] : [['bip', formatInterfaceAddress(ipv4)] as const]),
    ...(mtu === undefined ? [] : [['mtu', mtu] as const]),
    // One of both masquerades.
    ...(masquerade === undefined || valuesOf(gateway).length === 0
      ? []
      : [['ip-masq', !masquerade] as const]),
    ...(ipv6 === undefined
      ? []
      : [['ipv6', true] as const, ['fixed-cidr-v6', Prefix.of(ipv6.ip, ipv6.length).toString()] as const]),
  ]);
}
