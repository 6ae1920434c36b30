/** The prefix length of a bridge's address, which makes the route to the containers behind it. Pure. */
import type { Ip } from '../../base/ip.ts';
import { formatInterfaceAddress, type InterfaceAddress, Prefix } from '../../base/prefix.ts';
import type { Address } from '../../netlink/route/objects.ts';
import type { Member, Members, OverlayBridge } from '../host/members.ts';
import { type Cause, fixedBy, HERE } from './check.ts';

/** With a longer prefix than its containers the kernel has no route to some of them. */
export function judgeNetmask({ link, addresses }: OverlayBridge, members: Members['members']): Cause[] {
  return addresses.flatMap(address => {
    const outside = members.filter(member => leftOut(address, addresses, member).length > 0);
    if (outside.length === 0) return [];
    const [first] = outside;
    const length = first?.addresses.find(({ family }) => family === address.family)?.length ?? 0;
    const text = formatInterfaceAddress(address);
    const wanted = formatInterfaceAddress({ ip: address.ip, length });
    return fixedBy(
      [
        ['ip', 'addr', 'add', wanted, 'dev', link.name],
        ['ip', 'addr', 'del', text, 'dev', link.name],
      ],
      {
        code: 'BRIDGE_NETMASK',
        severity: 'error',
        layer: 'bridge',
        reason: `the bridge ${link.name} has ${text}, so that ${HERE} has no route to ${outside.map(({ container }) => container.name).join(', ')} behind it`,
        evidence: [
          `${link.name}: ${text}`,
          ...outside
            .slice(0, 10)
            .flatMap(({ container, addresses: own }) =>
              own.map(one => `${container.name}: ${formatInterfaceAddress(one)}`),
            ),
        ],
      },
    );
  });
}

/** Addresses of containers that the host has no route to because of the prefix length of their bridge. */
export function withoutRoute({ bridges, members }: Members): Ip[] {
  return bridges.flatMap(({ link, addresses }) =>
    members
      .filter(({ home }) => home?.link.index === link.index)
      .flatMap(member => addresses.flatMap(address => leftOut(address, addresses, member)))
      .map(({ ip }) => ip),
  );
}

/** @param addresses of the bridge, with the one that is asked about */
function leftOut(address: Address, addresses: readonly Address[], member: Member): Address[] {
  return member.addresses.filter(
    ({ ip, family, length }) =>
      family === address.family &&
      length < address.length &&
      Prefix.of(ip, length).contains(address.ip) &&
      !addresses.some(other => isStation(other, ip)),
  );
}

/** The first and the last address of a block of IPv4 are none for the kernel, where it has more than two (RFC 3021). */
export function isStation({ ip: own, length }: InterfaceAddress, ip: Ip): boolean {
  const block = Prefix.of(own, length);
  if (!block.contains(ip)) return false;
  return ip.family === 'ipv6' || block.size <= 2n || !(ip.equals(block.ip) || ip.equals(block.last));
}
