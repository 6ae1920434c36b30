/**
 * The journey of one packet between containers on two hosts, explained by the entries that the kernels use. Each
 * one is looked up as the kernel would: what one step finds is what the next one searches for.
 */
import { FAMILY_LABELS, type Family, Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { connectRoute } from '../../netlink/route/connect.ts';
import type { VxlanInfo } from '../../netlink/route/link-info.ts';
import type { Link } from '../../netlink/route/objects.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { addressLine, fdbLine, neighborLine, routeLine } from '../../netlink/text/entries.ts';
import { linkLine, linkNames } from '../../netlink/text/link.ts';
import { Netns } from '../../sys/netns.ts';
import { LabHost } from '../host/host.ts';
import type { ContainerRecord, HostRecord } from '../record/record.ts';

export interface Hop {
  /** `docker1/c1`, `docker1`, `underlay`. */
  readonly place: string;
  /** What happens there and why, in a sentence or two. */
  readonly story: string;
  /** The kernel's entries that decide it, as `ip` and `bridge` print them. */
  readonly entries: readonly string[];
}

export interface End {
  readonly host: Pick<HostRecord, 'name' | 'anchor' | 'subnet'>;
  readonly container: ContainerRecord;
}

/** An end with its addresses of the family of the packet. */
interface Place {
  readonly host: LabHost;
  readonly container: ContainerRecord;
  readonly name: string;
  readonly ip: Ip;
  readonly subnet: Prefix;
}

/** What each family calls the count of hosts that may still forward a packet. */
const HOP_LIMIT = { ipv4: 'TTL', ipv6: 'hop limit' } as const satisfies Record<Family, string>;
/** How each family asks a link for a MAC address. */
const QUESTION = { ipv4: 'ARP request', ipv6: 'neighbor solicitation' } as const satisfies Record<
  Family,
  string
>;
/** Bytes of the outer headers of VXLAN. */
const ADDED = { ipv4: 50, ipv6: 70 } as const satisfies Record<Family, number>;

/** What is missing is part of the story: a hop then says so and is the last one. */
export async function traceJourney(start: End, end: End, family: Family): Promise<Hop[]> {
  const [from, to] = [placeOf(start, family), placeOf(end, family)];
  await using doors = new AsyncDisposableStack();
  const open = (path: string) => doors.use(connectRoute({ netns: doors.use(Netns.open(path)) }));
  const [near, far] = [from.host, to.host];
  const inside = open(near.path(from.container.netns));
  const source = open(near.netnsFile);
  const destination = open(far.netnsFile);

  const hops = [await leaveContainer(inside, from), await enterHost(source, from)];
  const route = (await source.routes.list({ family })).find(({ destination: block }) =>
    block?.equals(to.subnet),
  );
  if (route === undefined) {
    return [
      ...hops,
      {
        place: near.name,
        story: `There is no route to ${to.subnet}: the packet goes no further.`,
        entries: [],
      },
    ];
  }
  const links = await source.links.list();
  const link = links.find(({ index }) => index === route.oif);
  hops.push({
    place: near.name,
    story: `The route to the peer's subnet names a gateway and a device.`,
    entries: [routeLine(route, linkNames(links))],
  });
  if (link?.info?.kind === 'vxlan' && route.gateway !== undefined) {
    hops.push(...(await throughTunnel(source, link, link.info, route.gateway, links)));
    hops.push(await leaveTunnel(destination, far.name, link));
  } else {
    hops.push({
      place: 'underlay',
      story: `No tunnel: the packet goes to the peer as it is, ${from.ip} > ${to.ip}.`,
      entries: [],
    });
  }
  return [...hops, ...(await arrive(destination, to))];
}

/** @throws Error for a family that the lab does not have. */
function placeOf({ host, container }: End, family: Family): Place {
  const [ip, subnet] = [container.ip[family], host.subnet[family]];
  if (ip === undefined || subnet === undefined)
    throw new Error(`${host.name} has no ${FAMILY_LABELS[family]}`);
  return {
    host: new LabHost(host.name, host.anchor),
    container,
    name: `${host.name}/${container.name}`,
    ip: Ip.parse(ip),
    subnet: Prefix.parse(subnet),
  };
}

async function leaveContainer(inside: Rtnetlink, { name, ip }: Place): Promise<Hop> {
  const routes = await inside.routes.list({ family: ip.family });
  const route = routes.find(({ destination, gateway }) => destination === undefined && gateway !== undefined);
  const nameOf = linkNames(await inside.links.list());
  return {
    place: name,
    story: `The container has ${ip}. The target is outside its subnet, so it takes the default route.`,
    entries: route === undefined ? [] : [routeLine(route, nameOf)],
  };
}

async function enterHost(source: Rtnetlink, { host, subnet }: Place): Promise<Hop> {
  const addresses = await source.addresses.list({ family: subnet.family });
  // The tunnel device has the base address of the same block, as a block of one.
  const gateway = addresses.find(({ ip, length }) => subnet.contains(ip) && length === subnet.length);
  const nameOf = linkNames(await source.links.list());
  return {
    place: host.name,
    story: `The gateway is the host's bridge. The host forwards packets for others: ${HOP_LIMIT[subnet.family]} 64 becomes 63.`,
    entries: gateway === undefined ? [] : [addressLine(gateway, nameOf)],
  };
}

async function throughTunnel(
  source: Rtnetlink,
  link: Link,
  info: VxlanInfo,
  gateway: Ip,
  links: readonly Link[],
): Promise<Hop[]> {
  const nameOf = linkNames(links);
  const neighbor = (await source.neighbors.list({ index: link.index })).find(({ ip }) => ip.equals(gateway));
  const hops: Hop[] = [
    {
      place: link.name,
      story: `Which MAC address has ${gateway}? No ${QUESTION[gateway.family]} is sent: the agent has added the entry (IP to inner MAC).`,
      entries: neighbor === undefined ? [] : [neighborLine(neighbor, nameOf)],
    },
  ];
  const mac = neighbor?.mac;
  const entry = (await source.fdb.list(link.index)).find(
    candidate => mac !== undefined && candidate.mac.equals(mac),
  );
  hops.push({
    place: link.name,
    story: `Behind which host is that MAC address? The forwarding database says it (FDB: inner MAC to outer IP).`,
    entries: entry === undefined ? [] : [fdbLine(entry, nameOf)],
  });
  if (entry?.destination === undefined) return hops;
  const route = await source.routes.lookup(entry.destination);
  hops.push({
    place: `underlay (${info.link === undefined ? 'uplink' : nameOf(info.link)})`,
    story: `The frame is wrapped into a UDP packet, ${ADDED[entry.destination.family]} bytes longer, that any network can carry.`,
    entries: [
      `${info.local ?? '?'} > ${entry.destination} UDP ${info.port ?? '?'} VXLAN vni ${info.id ?? '?'} [inner frame]`,
      routeLine(route, nameOf),
    ],
  });
  return hops;
}

/** The device of a family has the same name on all hosts; two devices of one VNI are of two families. */
async function leaveTunnel(destination: Rtnetlink, name: string, sender: Link): Promise<Hop> {
  const links = await destination.links.list();
  const link = links.find(candidate => candidate.name === sender.name);
  return {
    place: name,
    story: `The kernel knows the port and the VNI, unwraps the frame, and finds its own MAC address in it.`,
    entries: link === undefined ? [] : [linkLine(link, linkNames(links))],
  };
}

async function arrive(destination: Rtnetlink, to: Place): Promise<Hop[]> {
  const route = await destination.routes.lookup(to.ip);
  const nameOf = linkNames(await destination.links.list());
  const neighbors = await destination.neighbors.list(route.oif === undefined ? {} : { index: route.oif });
  const neighbor = neighbors.find(({ ip }) => ip.equals(to.ip));
  return [
    {
      place: to.host.name,
      story: `The target is in this host's own subnet, so it is on the bridge. Forwarded again: ${HOP_LIMIT[to.ip.family]} 63 becomes 62.`,
      entries: [
        routeLine(route, nameOf),
        ...(neighbor === undefined ? [] : [neighborLine(neighbor, nameOf)]),
      ],
    },
    {
      place: to.name,
      story: `The container gets the packet from the sender's own address: no address was translated on the way.`,
      entries: [],
    },
  ];
}
