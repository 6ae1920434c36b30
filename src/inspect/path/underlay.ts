/** Between hosts: the route and the neighbor on the underlay, and on the other side the address that takes the packet. */
import type { Carrier } from '../../api/walk.ts';
import { Ip } from '../../base/ip.ts';
import { NUD_FAILED } from '../../netlink/route/constants.ts';
import type { Link } from '../../netlink/route/objects.ts';
import { addressLine, neighborLine, routeLine } from '../../netlink/text/entries.ts';
import { firstFault, linkFault, type PacketWay } from './way.ts';

/** For a plain packet: its way is known already. */
export interface PlainOutput {
  readonly output: Link;
  readonly next: Ip;
}

/** What goes into the outer packet, and the bytes of the headers behind the outer IP header. */
const IN_WORDS = { vxlan: 'frame is', bridged: 'frame is', udp: 'packet is', ipip: 'packet is' } as const;
const ADDED = { vxlan: 30, bridged: 30, udp: 8, ipip: 0 } as const;
const OUTER = { ipv4: 20, ipv6: 40 } as const;

/** What the outer packet of a carrier is, in words. */
function carried({ kind, port, vni, from, to }: Carrier, way: PacketWay): string {
  const ends = `${from ?? '?'} > ${to}`;
  if (kind === 'vxlan' || kind === 'bridged')
    return `${ends} UDP ${port ?? '?'} VXLAN vni ${vni ?? '?'} [${way.from} > ${way.to}]`;
  if (kind === 'udp') return `${ends} UDP ${port ?? '?'} [${way.from} > ${way.to}]`;
  if (kind === 'ipip') return `${ends} IPIP [${way.from} > ${way.to}]`;
  return `${way.from} > ${way.to}`;
}

export async function overUnderlay(way: PacketWay, carrier: Carrier, plain?: PlainOutput): Promise<void> {
  const to = Ip.parse(carrier.to);
  const { route, refusal } = plain === undefined ? await way.host.lookup(to) : {};
  const output = plain?.output ?? way.link(route?.oif);
  const next = plain?.next ?? route?.gateway ?? to;
  const neighbor = (await way.host.neighbors()).find(
    ({ index, ip }) => index === output?.index && ip.equals(next),
  );
  const source = carrier.from ?? route?.preferredSource?.toString();
  const known = source === undefined ? carrier : { ...carrier, from: source };
  const goes = way.add({
    place: output?.name ?? way.name,
    layer: 'underlay',
    story:
      carrier.kind === 'plain'
        ? `No tunnel: the packet goes to ${next} as it is.`
        : `The ${IN_WORDS[carrier.kind]} wrapped into ${carrier.kind === 'ipip' ? 'an IP' : 'a UDP'} packet, ${ADDED[carrier.kind] + OUTER[to.family]} bytes longer, that any network can carry.`,
    entries: [
      carried(known, way),
      ...(route === undefined ? [] : [routeLine(route, way.nameOf)]),
      ...(neighbor === undefined ? [] : [neighborLine(neighbor, way.nameOf)]),
    ],
    ...(output !== undefined && { passes: { link: output.name, direction: 'out' as const } }),
    ...firstFault(
      refusal && {
        reason: `${way.name} has no route to ${to} on the underlay (${refusal.message}).`,
        remedy: `ip route add ${to} via GATEWAY`,
      },
      output && linkFault(output),
      neighbor !== undefined &&
        (neighbor.state & NUD_FAILED) !== 0 && {
          reason: `${next} does not answer on ${output?.name}: it is down, or not on this link.`,
          remedy: `tulle check ${to}`,
        },
    ),
  });
  if (!goes) return;
  way.carrier = known;
  way.uplink = output;
}

/** @returns the link that takes the outer packet in; undefined when it goes no further */
export async function fromUnderlay(way: PacketWay, carrier: Carrier): Promise<Link | undefined> {
  const to = Ip.parse(carrier.to);
  const held = way.own(to);
  // The way back shows by which link it comes: of a plain packet that to its sender, as the next hop may be a router.
  const sender = carrier.kind === 'plain' ? way.from : carrier.from && Ip.parse(carrier.from);
  const { route } = sender ? await way.host.lookup(sender) : {};
  const link = way.link(route?.oif) ?? held?.link;
  const goes = way.add({
    place: link?.name ?? way.name,
    layer: 'underlay',
    story:
      carrier.kind === 'plain'
        ? 'The packet comes in as it was sent.'
        : `The outer packet comes in, for ${to}.`,
    entries: [carried(carrier, way), ...(held === undefined ? [] : [addressLine(held.address, way.nameOf)])],
    ...(link !== undefined && { passes: { link: link.name, direction: 'in' as const } }),
    ...firstFault(
      held === undefined &&
        carrier.kind !== 'plain' && {
          reason: `${way.name} does not have the address ${to}, which the other host sends to.`,
          remedy: 'tulle status',
        },
      link && linkFault(link),
    ),
  });
  way.uplink = link;
  return goes ? link : undefined;
}
