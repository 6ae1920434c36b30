/** From a container to the host it is on: its own route, its link, the gateway. */
import type { WalkFault } from '../../api/walk.ts';
import type { Ip } from '../../base/ip.ts';
import { RTN_LOCAL } from '../../netlink/route/constants.ts';
import type { Link, Neighbor, Route } from '../../netlink/route/objects.ts';
import { addressLine, neighborLine, routeLine } from '../../netlink/text/entries.ts';
import type { ContainerLink } from '../host/containers.ts';
import { bridgeFrame, portFault, portLine } from './bridge.ts';
import { firstFault, type Holder, linkFault, type PacketWay } from './way.ts';

/** @returns the link of the host that takes the packet in; undefined when it goes no further, or was bridged */
export async function leaveContainer(way: PacketWay, holder: Holder): Promise<Link | undefined> {
  const { container, address } = holder;
  const { inside, enter } = container;
  const nameOf = await inside.nameOf();
  const { route, refusal } = await inside.lookup(way.to, { ...way.packet, entry: true });
  if (route?.type === RTN_LOCAL) {
    way.add({
      place: container.name,
      layer: 'container',
      story: `${way.to} is the container's own address: the packet does not leave it.`,
      entries: [routeLine(route, nameOf)],
    });
    way.arrives = { container: container.name };
    return undefined;
  }
  const link = container.links.find(({ inner }) => inner.index === route?.oif);
  const goes = way.add({
    place: container.name,
    layer: 'container',
    story: storyOf(way, route),
    entries: [addressLine(address, nameOf), ...(route === undefined ? [] : [routeLine(route, nameOf)])],
    ...(link !== undefined && { passes: { link: link.outer.name, direction: 'in' as const } }),
    ...firstFault(
      linkFault(holder.inner, enter),
      refusal && noRoute(way, holder, refusal.message),
      route && link === undefined && otherLink(way, route, nameOf),
      link && linkFault(link.inner, enter),
    ),
  });
  if (!goes || route === undefined || link === undefined) return undefined;
  const neighbors = await inside.neighbors();
  const next = route.gateway ?? way.to;
  const neighbor = neighbors.find(({ index, ip }) => index === link.inner.index && ip.equals(next));
  const line = neighbor === undefined ? [] : [neighborLine(neighbor, nameOf)];
  if (route.gateway === undefined && way.own(way.to) === undefined) {
    await bridgeFrame(way, link, { ...(neighbor?.mac !== undefined && { mac: neighbor.mac }), lines: line });
    return undefined;
  }
  return reachGateway(way, link, { next, neighbor, lines: line, holder });
}

function storyOf({ to }: PacketWay, route: Route | undefined): string {
  if (route === undefined) return `The container looks for a route to ${to}.`;
  if (route.gateway === undefined)
    return `${to} is in the container's own subnet: it sends to it without a router.`;
  return route.destination === undefined
    ? `${to} is outside the container's subnet, so it takes the default route.`
    : `The container has a route to ${route.destination}.`;
}

function noRoute(way: PacketWay, { container, outer, bridge }: Holder, why: string): WalkFault {
  const gateway = way.addresses.find(
    ({ index, family }) => index === (bridge ?? outer).index && family === way.to.family,
  );
  const command = `ip route add default via ${gateway?.ip ?? 'GATEWAY'}`;
  return {
    reason: `${container.name} has no route to ${way.to} (${why}).`,
    remedy: [...container.enter, command].join(' '),
  };
}

const otherLink = (way: PacketWay, route: Route, nameOf: (index: number) => string): WalkFault => ({
  reason: `It leaves by ${route.oif === undefined ? 'no link' : nameOf(route.oif)}, which does not lead to ${way.name}.`,
  remedy: 'look at the routes in the container',
});

interface Gateway {
  readonly next: Ip;
  /** The container's entry for it, which comes with the first packet. */
  readonly neighbor: Neighbor | undefined;
  readonly lines: readonly string[];
  readonly holder: Holder;
}

function reachGateway(
  way: PacketWay,
  { inner, outer, bridge }: ContainerLink,
  gateway: Gateway,
): Link | undefined {
  const { next, neighbor, lines, holder } = gateway;
  const held = way.own(next);
  const taker = held?.link ?? bridge ?? outer;
  const wrongMac =
    held !== undefined &&
    neighbor?.mac !== undefined &&
    held.link.mac !== undefined &&
    !held.link.mac.equals(neighbor.mac);
  const goes = way.add({
    place: taker.name,
    layer: 'bridge',
    story: `${outer.name} is the host's end of the container's link${bridge === undefined ? '' : `, a port of ${bridge.name}`}. The gateway is the host.`,
    entries: [
      ...lines,
      ...(held === undefined ? [] : [addressLine(held.address, way.nameOf)]),
      portLine(outer, way.nameOf),
    ],
    passes: { link: taker.name, direction: 'in' },
    ...firstFault(
      linkFault(outer),
      detached(outer, bridge, held?.link),
      portFault(outer),
      linkFault(taker),
      held === undefined && {
        reason: `No link of ${way.name} has the gateway's address ${next}.`,
        remedy: `ip address add ${next}/${holder.address.length} dev ${taker.name}`,
      },
      wrongMac && {
        reason: `The container sends to ${neighbor?.mac}, and ${held?.link.name} is ${held?.link.mac}.`,
        remedy: [...holder.container.enter, `ip neigh del ${next} dev ${inner.name}`].join(' '),
      },
    ),
  });
  return goes ? taker : undefined;
}

function detached(outer: Link, bridge: Link | undefined, holder: Link | undefined): WalkFault | undefined {
  if (bridge !== undefined || holder === undefined || holder.index === outer.index) return undefined;
  return {
    reason: `${outer.name}, the host's end of the container's link, is a port of no bridge.`,
    remedy: `ip link set ${outer.name} master ${holder.name}`,
  };
}
