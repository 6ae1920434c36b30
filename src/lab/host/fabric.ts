/**
 * The underlay: a namespace of its own with a bridge for every segment, and a cable to every link of a host. In the
 * root namespace the machine's own firewall would see bridged frames (br_netfilter), and dockerd's FORWARD policy
 * would drop them.
 */
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import type { Netns } from '../../sys/netns.ts';
import type { LabHostPlan, LinkPlan, SegmentPlan } from '../topology/plan.ts';

/** No host has such a name. */
const bridgeOf = (segment: string) => `br.${segment}`;

/** A host's end in the fabric: of its first link the host's name. */
export const portOf = (host: string, link: number): string => (link === 0 ? host : `${host}+${link}`);

/** Makes the bridge of a segment. */
export async function createSegment(fabric: Rtnetlink, { name, mtu }: SegmentPlan): Promise<void> {
  await fabric.links.add({
    name: bridgeOf(name),
    up: true,
    info: { kind: 'bridge', multicastSnooping: false },
    ...(mtu === undefined ? {} : { mtu }),
  });
}

export interface OpenHost {
  readonly netns: Netns;
  readonly route: Rtnetlink;
}

/** Plugs a host into its segments, and gives its links their addresses and the host its routes. */
export async function plugIn(
  fabric: Rtnetlink,
  { name, links, routes }: Pick<LabHostPlan, 'name' | 'links' | 'routes'>,
  host: OpenHost,
): Promise<void> {
  await host.route.links.change('lo', { up: true });
  for (const [index, link] of links.entries()) await plugLink(fabric, portOf(name, index), link, host);
  for (const { to, via } of routes) {
    const destination = to === undefined ? {} : { destination: to };
    await host.route.routes.replace({ ...destination, family: via.family, gateway: via });
  }
}

async function plugLink(
  fabric: Rtnetlink,
  port: string,
  { segment, name, addresses, mtu }: LinkPlan,
  host: OpenHost,
): Promise<void> {
  const bridge = await fabric.links.get(bridgeOf(segment));
  const size = mtu === undefined ? {} : { mtu };
  await fabric.links.add({
    name: port,
    info: { kind: 'veth', peer: { name, netnsFd: host.netns.fd, ...size } },
    up: true,
    ...size,
    ...(bridge === undefined ? {} : { master: bridge.index }),
  });
  await host.route.links.change(name, { up: true });
  const link = await host.route.links.get(name);
  for (const address of addresses)
    await host.route.addresses.replace({ index: link?.index ?? 0, ...address });
}
