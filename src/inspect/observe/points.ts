/** What the links of a host are to a packet: pure, from the lists of links and addresses. */
import type { Sighting } from '../../api/inspection.ts';
import type { InterfaceAddress } from '../../base/prefix.ts';
import { linkKind } from '../../netlink/route/link-info.ts';
import type { Link } from '../../netlink/route/objects.ts';

export type Point = Sighting['point'];

/** Kinds of links that put packets into others. A TUN device is one of flannel's udp. */
const TUNNELS = ['vxlan', 'geneve', 'ipip', 'ip6tnl', 'sit', 'gre', 'gretap', 'wireguard', 'tun'];
const ARPHRD_LOOPBACK = 772;

/** @param hasAddress whether a link has an address that is more than link-local */
function pointOf(link: Link, links: readonly Link[], hasAddress: (index: number) => boolean): Point {
  const kind = link.info && linkKind(link.info);
  if (link.type === ARPHRD_LOOPBACK) return 'other';
  if (kind === 'bridge') return 'bridge';
  if (kind !== undefined && TUNNELS.includes(kind)) return 'tunnel';
  const master = links.find(({ index }) => index === link.master);
  // The card of a host whose address is on a bridge.
  if (kind === undefined) return 'uplink';
  if (master?.info?.kind === 'bridge') return 'port';
  if (hasAddress(link.index) || master !== undefined) return 'uplink';
  // One that a container is behind, whatever leads its packets there.
  return kind === 'veth' ? 'port' : 'other';
}

/** An address as a dump has it. */
type KnownAddress = Pick<InterfaceAddress, 'ip'> & { readonly index: number };

/** Point and name of each link by its index. */
export function pointsOf(
  links: readonly Link[],
  addresses: readonly KnownAddress[],
): ReadonlyMap<number, { readonly name: string; readonly point: Point }> {
  const addressed = new Set(addresses.filter(({ ip }) => !ip.isLinkLocal).map(({ index }) => index));
  return new Map(
    links.map(link => [
      link.index,
      { name: link.name, point: pointOf(link, links, index => addressed.has(index)) },
    ]),
  );
}
