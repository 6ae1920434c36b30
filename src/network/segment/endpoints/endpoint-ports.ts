/**
 * The host's ends of what `tulle network connect` and container engines have attached. They stay when their bridge goes, so they join the one that
 * is made instead; they follow the MTU of their network, at both ends; and they go with their network.
 */

import type { Ip } from '../../../base/ip.ts';
import type { Mac } from '../../../base/mac.ts';
import { connectRoute } from '../../../netlink/route/connect.ts';
import type { Link } from '../../../netlink/route/objects.ts';
import type { Rtnetlink } from '../../../netlink/route/rtnetlink.ts';
import { unlessGone } from '../../../netlink/unless-gone.ts';
import type { Segment } from '../../../subnet/segment/segment.ts';
import { networkNamespaces } from '../../../sys/netns-search.ts';
import { parseAttachmentAlias } from '../../attachment/attachment-alias.ts';
import { attachmentLinks } from '../../attachment/attachment-links.ts';
import { endpointLinkName, parseEndpointAlias } from './endpoint-alias.ts';
import type { AttachedEndpoint } from './local-endpoints.ts';
import type { SegmentSite } from './segment-site.ts';

type Links = Pick<Rtnetlink['links'], 'get' | 'change' | 'delete'>;

export interface EndpointPort {
  readonly link: Link;
  readonly mac: Mac;
  readonly container: string;
  readonly ips: readonly Ip[];
  /** Inode of the namespace of the other end; absent where an engine has moved it. */
  readonly netns?: number;
}

/** What the alias of a port says, whoever attached it. */
interface AttachedPort extends Omit<AttachedEndpoint, 'ip'> {
  /** Of the network. */
  readonly name: string;
  readonly ips: readonly Ip[];
  /** Whether it is on this very network, and not on a former one of its name. */
  readonly isOf: (segment: Pick<Segment, 'id' | 'name'>) => boolean;
  readonly netns?: number;
}

export class EndpointPorts {
  readonly #rtnetlink: { readonly links: Links };
  /** Networks that are deleted, and may have left links. */
  #removed: readonly Segment[] = [];

  constructor(rtnetlink: { readonly links: Links }) {
    this.#rtnetlink = rtnetlink;
  }

  /** A network is deleted: what is attached to it loses it, with the next `keep`. */
  removed(segment: Segment): void {
    this.#removed = [...this.#removed, segment];
  }

  /** @param isReserved whether a link of this name is being attached. @throws NetlinkError, SysError */
  async keep(
    links: Iterable<Link>,
    open: Iterable<{ readonly site: SegmentSite; readonly links: { readonly bridge: number } }>,
    isReserved: (name: string) => boolean,
  ): Promise<void> {
    const all = [...links];
    const removed = this.#removed;
    for (const segment of removed) await removePorts(this.#rtnetlink, portsOf(all, segment));
    this.#removed = this.#removed.filter(segment => !removed.includes(segment));
    for (const { site, links } of open) {
      const ports = portsOf(all, site.segment).filter(({ link }) => !isReserved(link.name));
      await keepPorts(this.#rtnetlink, ports, { bridge: links.bridge, mtu: site.mtu });
    }
  }
}

/** Those of this very network, and not of a former one of its name. */
export function portsOf(links: Iterable<Link>, segment: Pick<Segment, 'id' | 'name'>): EndpointPort[] {
  return [...links].flatMap(link => {
    const port = attachedPort(link);
    if (port?.isOf(segment) !== true) return [];
    const { mac, container, ips } = port;
    return [{ link, mac, container, ips, ...(port.netns !== undefined && { netns: port.netns }) }];
  });
}

/** What ports of its bridge attach to a network. */
export function attachedTo(
  links: readonly Link[],
  { segment: { name }, bridge }: SegmentSite,
): AttachedEndpoint[] {
  const index = links.find(link => link.name === bridge)?.index;
  return links.flatMap(link => {
    if (index === undefined || link.master !== index) return [];
    const port = attachedPort(link);
    if (port?.name !== name) return [];
    const { ips, mac, container, isNamed = false } = port;
    return ips.map(ip => ({ ip, mac, container, isNamed }));
  });
}

/** Of a link that never changes the alias is read once. */
const known = new WeakMap<Link, { readonly port: AttachedPort | undefined }>();

export function attachedPort(link: Link): AttachedPort | undefined {
  const found = known.get(link) ?? { port: readPort(link) };
  known.set(link, found);
  return found.port;
}

function readPort({ alias, name: linkName }: Link): AttachedPort | undefined {
  if (alias?.startsWith('tulle ') !== true) return undefined;
  const connected = parseEndpointAlias(alias);
  if (connected !== undefined) {
    const { name, container, mac, ips, netns } = connected;
    const isOf = (segment: Pick<Segment, 'id' | 'name'>) =>
      name === segment.name && linkName === endpointLinkName(segment, netns);
    return { name, container, mac, ips, netns, isOf };
  }
  const attached = parseAttachmentAlias(alias);
  if (attached === undefined || linkName !== attachmentLinks(attached.id).host) return undefined;
  const { network: name, networkId, container, mac, ips } = attached;
  const isOf = (segment: Pick<Segment, 'id' | 'name'>) => name === segment.name && networkId === segment.id;
  return { name, container, mac, ips, isOf, isNamed: true };
}

/** Makes ports of a bridge of those that are none, and gives all the MTU of their network. @throws NetlinkError, SysError */
export async function keepPorts(
  rtnetlink: { readonly links: Links },
  ports: readonly EndpointPort[],
  { bridge, mtu }: { readonly bridge: number; readonly mtu: number },
): Promise<void> {
  const fit = ports.filter(({ link }) => link.mtu !== mtu);
  await fitInside(fit, mtu);
  for (const { link } of ports) {
    const join = link.master === undefined && { master: bridge, up: true };
    const change = { ...join, ...(link.mtu !== mtu && { mtu }) };
    if (Object.keys(change).length > 0) await unlessGone(rtnetlink.links.change(link.index, change));
  }
}

/** @throws NetlinkError */
export async function removePorts(
  rtnetlink: { readonly links: Links },
  ports: readonly EndpointPort[],
): Promise<void> {
  for (const { link } of ports) await unlessGone(rtnetlink.links.delete(link.index));
}

/** The other ends, unless somebody has given one of them an MTU of its own that fits. */
async function fitInside(ports: readonly EndpointPort[], mtu: number): Promise<void> {
  for (const netns of ports.length === 0 ? [] : networkNamespaces()) {
    using _ = netns;
    const inside = ports.filter(port => port.netns === undefined || port.netns === netns.inode);
    if (inside.length === 0) continue;
    await using route = connectRoute({ netns });
    for (const { link, mac } of inside) {
      const peer = link.lower === undefined ? undefined : await route.links.get(link.lower);
      if (peer?.lower !== link.index || peer.mtu === undefined || !mac.equals(peer.mac)) continue;
      if (peer.mtu === link.mtu || peer.mtu > mtu) await unlessGone(route.links.change(peer.index, { mtu }));
    }
  }
}
