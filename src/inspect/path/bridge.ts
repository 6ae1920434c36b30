/** Over a bridge: which port leads to a MAC address, and to the container behind it. */
import type { WalkFault } from '../../api/walk.ts';
import { Mac } from '../../base/mac.ts';
import { NUD_FAILED } from '../../netlink/route/constants.ts';
import type { FdbEntry, Link } from '../../netlink/route/objects.ts';
import { addressLine, fdbLine, neighborLine, routeLine } from '../../netlink/text/entries.ts';
import type { NameOf } from '../../netlink/text/link.ts';
import { joinWords } from '../../netlink/text/words.ts';
import type { ContainerLink } from '../host/containers.ts';
import { overTunnel } from './tunnel.ts';
import { firstFault, type Holder, linkFault, type PacketWay } from './way.ts';

/** BR_STATE_*: include/uapi/linux/if_bridge.h. */
const STATES = ['disabled', 'listening', 'learning', 'forwarding', 'blocking'];
const FORWARDING = 3;

/** `veth-c1 master docker0 state forwarding`, the main part of `bridge link`. */
export const portLine = ({ name, master, port }: Link, nameOf: NameOf): string =>
  joinWords(
    name,
    master !== undefined && `master ${nameOf(master)}`,
    port?.state !== undefined && `state ${STATES[port.state] ?? port.state}`,
  );

/** A port that passes no frames. */
export function portFault({ name, port }: Link): WalkFault | undefined {
  if (port?.state === undefined || port.state === FORWARDING) return undefined;
  return {
    reason: `The bridge passes no frames over its port ${name}, which is ${STATES[port.state] ?? port.state}.`,
    remedy: `bridge link set dev ${name} state ${FORWARDING}`,
  };
}

/** The entry of a bridge for a MAC address, a port's before the bridge's own. */
async function entryOf(way: PacketWay, bridge: Link, mac: Mac): Promise<FdbEntry | undefined> {
  const entries = (await way.host.fdb(bridge.index)).filter(entry => entry.mac.equals(mac));
  return entries.find(({ index }) => index !== bridge.index) ?? entries[0];
}

/** The last part of the way: from a link of the host, a bridge mostly, to the container with the packet's destination. */
export async function deliver(way: PacketWay, taker: Link): Promise<void> {
  const holder = await way.holder(way.to);
  const neighbor = (await way.host.neighbors()).find(
    ({ index, ip }) => index === taker.index && ip.equals(way.to),
  );
  const mac = neighbor?.mac ?? holder?.inner.mac;
  const entry =
    taker.info?.kind === 'bridge' && mac !== undefined ? await entryOf(way, taker, mac) : undefined;
  const wrongMac = neighbor?.mac !== undefined && holder?.inner.mac?.equals(neighbor.mac) === false;
  const goes = way.add({
    place: taker.name,
    layer: 'bridge',
    story: [
      `${way.to} is on ${taker.name}.`,
      neighbor?.mac === undefined
        ? 'The host asks for its MAC address.'
        : 'The neighbor entry has its MAC address.',
      entry === undefined ? '' : 'The FDB has the port that leads to it.',
    ]
      .join(' ')
      .trim(),
    entries: [
      ...(neighbor === undefined ? [] : [neighborLine(neighbor, way.nameOf)]),
      ...(entry === undefined ? [] : [fdbLine(entry, way.nameOf)]),
      ...(holder === undefined ? [] : [portLine(holder.outer, way.nameOf)]),
    ],
    ...(holder !== undefined && { passes: { link: holder.outer.name, direction: 'out' as const } }),
    ...firstFault(
      !taker.up && linkFault(taker),
      holder === undefined && nobody(way, taker, neighbor?.state),
      wrongMac && {
        reason: `${way.to} is at ${neighbor?.mac} for ${way.name}, and the container has ${holder?.inner.mac}.`,
        remedy: `ip neigh del ${way.to} dev ${taker.name}`,
      },
      holder && outOfReach(holder, taker),
      // A bridge has no carrier when no port of it has.
      linkFault(taker),
      holder &&
        entry &&
        entry.index !== holder.outer.index && {
          reason: `${taker.name} sends frames for ${entry.mac} to ${way.nameOf(entry.index)}, and the container is behind ${holder.outer.name}.`,
          remedy: `bridge fdb del ${entry.mac} dev ${way.nameOf(entry.index)} master`,
        },
    ),
  });
  if (goes && holder !== undefined) await intoContainer(way, holder);
}

function outOfReach({ outer, bridge, container }: Holder, taker: Link): WalkFault | undefined {
  const isHere = outer.index === taker.index || bridge?.index === taker.index;
  return (
    (isHere
      ? undefined
      : {
          reason: `${outer.name}, which leads to ${container.name}, is ${bridge === undefined ? 'a port of no bridge' : `a port of ${bridge.name}`}.`,
          remedy: `ip link set ${outer.name} master ${taker.name}`,
        }) ??
    linkFault(outer) ??
    portFault(outer)
  );
}

const nobody = (way: PacketWay, taker: Link, state = 0): WalkFault => ({
  reason:
    (state & NUD_FAILED) !== 0
      ? `Nobody on ${taker.name} answers for ${way.to}: no container of ${way.name} has that address.`
      : `No container of ${way.name} has the address ${way.to}.`,
  remedy: `tulle check ${way.to}  # who has it?`,
});

async function intoContainer(way: PacketWay, { container, inner, address }: Holder): Promise<void> {
  const nameOf = await container.inside.nameOf();
  const { route } = await container.inside.lookup(way.from, { source: way.to, entry: true });
  const goes = way.add({
    place: container.name,
    layer: 'container',
    story: `The container gets the packet, from ${way.from}.`,
    entries: [
      addressLine(address, nameOf),
      ...(route === undefined ? [] : [`back: ${routeLine(route, nameOf)}`]),
    ],
    ...firstFault(linkFault(inner, container.enter)),
  });
  if (goes) way.arrives = { container: container.name };
}

export interface Frame {
  /** Where it goes; absent before the container has asked for it. */
  readonly mac?: Mac;
  readonly lines: readonly string[];
}

/** A frame that a container sends to a neighbor on its own network: beside it, or on another host of an L2 network. */
export async function bridgeFrame(
  way: PacketWay,
  { outer, bridge }: ContainerLink,
  { mac, lines }: Frame,
): Promise<void> {
  const known = mac ?? (await macOn(way, bridge));
  const entry = bridge && known && (await entryOf(way, bridge, known));
  const port = way.link(entry?.index);
  const goes = way.add({
    place: (bridge ?? outer).name,
    layer: 'bridge',
    story:
      entry === undefined
        ? `Behind which port is ${way.to}? The bridge does not know yet, and sends the frame to all ports.`
        : `Behind which port is ${way.to}? The forwarding database says it (FDB: MAC address to port).`,
    entries: [
      ...lines,
      portLine(outer, way.nameOf),
      ...(entry === undefined ? [] : [fdbLine(entry, way.nameOf)]),
    ],
    ...firstFault(
      linkFault(outer),
      bridge === undefined && {
        reason: `${outer.name}, the host's end of the container's link, is a port of no bridge.`,
        remedy: `ip link set ${outer.name} master BRIDGE`,
      },
      portFault(outer),
      bridge && linkFault(bridge),
      port && linkFault(port),
      port && portFault(port),
    ),
  });
  if (!goes || bridge === undefined) return;
  const holder = await way.holder(way.to);
  if (holder?.bridge?.index === bridge.index) return intoContainer(way, holder);
  if (port?.info?.kind === 'vxlan' && known !== undefined)
    return overTunnel(way, port, { mac: known, isBridged: true });
  way.blind.push(`${way.to} was not spoken to lately: which host it is on shows with the first packet`);
}

/** As far as the bridge has been told (neighbor suppression), or the container is beside it. */
async function macOn(way: PacketWay, bridge: Link | undefined): Promise<Mac | undefined> {
  const neighbors = await way.host.neighbors();
  const known = neighbors.find(({ index, ip }) => index === bridge?.index && ip.equals(way.to))?.mac;
  return known ?? (await way.holder(way.to))?.inner.mac;
}

/** A frame of an L2 network that has come out of the tunnel. @param target MAC address that it is for */
export async function deliverFrame(way: PacketWay, tunnel: Link, target: string | undefined): Promise<void> {
  const mac = target === undefined ? undefined : Mac.parse(target);
  const bridge = way.link(tunnel.master);
  const holder = await way.holder(way.to);
  const entry = bridge && mac && (await entryOf(way, bridge, mac));
  const goes = way.add({
    place: (bridge ?? tunnel).name,
    layer: 'bridge',
    story: `The frame is for ${mac ?? way.to}: the forwarding database of the bridge has the port.`,
    entries: [
      ...(entry === undefined ? [] : [fdbLine(entry, way.nameOf)]),
      ...(holder === undefined ? [] : [portLine(holder.outer, way.nameOf)]),
    ],
    ...(holder !== undefined && { passes: { link: holder.outer.name, direction: 'out' as const } }),
    ...firstFault(
      bridge === undefined && {
        reason: `${tunnel.name} is a port of no bridge.`,
        remedy: `ip link set ${tunnel.name} master BRIDGE`,
      },
      portFault(tunnel),
      bridge && linkFault(bridge),
      holder === undefined && nobody(way, bridge ?? tunnel),
      bridge && holder && outOfReach(holder, bridge),
    ),
  });
  if (goes && holder !== undefined) await intoContainer(way, holder);
}
