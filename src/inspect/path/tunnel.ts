/** Into a tunnel and out of it: VXLAN, flannel's udp, IP in IP. */

import type { PeerStatus } from '../../api/status.ts';
import type { Carrier, WalkFault } from '../../api/walk.ts';
import type { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { Prefix } from '../../base/prefix.ts';
import { linkKind, type VxlanInfo } from '../../netlink/route/link-info.ts';
import type { FdbEntry, Link } from '../../netlink/route/objects.ts';
import { fdbLine, neighborLine } from '../../netlink/text/entries.ts';
import { linkInfoWords, type NameOf } from '../../netlink/text/link.ts';
import { overUnderlay } from './underlay.ts';
import { firstFault, linkFault, type PacketWay } from './way.ts';

/** How each family asks a link for a MAC address. */
const QUESTION = { ipv4: 'ARP request', ipv6: 'neighbor solicitation' } as const;
/** Of flannel's backend udp. */
const FLANNEL_UDP_PORT = 8285;
const VXLAN_PORT = 8472;
const NO_MAC = Mac.parse('00:00:00:00:00:00');

export interface Inner {
  /** Of the route that leads into the tunnel. */
  readonly gateway?: Ip;
  /** Of a frame that a bridge has passed on. */
  readonly mac?: Mac;
  readonly isBridged?: boolean;
}

export async function overTunnel(way: PacketWay, link: Link, inner: Inner): Promise<void> {
  const { info } = link;
  if (info?.kind === 'vxlan') return overVxlan(way, link, info, inner);
  const peer = await peerOf(way);
  const isUdp = info?.kind === 'tun';
  const to = isUdp ? publicIpOf(peer, way.to) : inner.gateway?.toString();
  const goes = way.add({
    place: link.name,
    layer: 'tunnel',
    story: isUdp
      ? `A program of this host, the forwarder, takes the packet from ${link.name} and wraps it into UDP.`
      : `The packet is wrapped into another IP packet, for the gateway of the route.`,
    entries: [tunnelLine(link, way.nameOf)],
    ...firstFault(
      isUdp && !link.running && link.up
        ? {
            reason: `No program takes packets from ${link.name}: the forwarder is not there.`,
            remedy: 'tulle status',
          }
        : linkFault(link),
      to === undefined && {
        reason: `Which host has ${way.to} is not known to ${way.name}.`,
        remedy: `tulle status --peer ${way.to}`,
      },
    ),
  });
  if (!goes || to === undefined) return;
  const carrier: Carrier = isUdp
    ? { kind: 'udp', to, port: (await portOf(way, link)) ?? FLANNEL_UDP_PORT }
    : { kind: 'ipip', to };
  await overUnderlay(way, carrier);
}

async function overVxlan(
  way: PacketWay,
  link: Link,
  info: VxlanInfo,
  { gateway, mac, isBridged = false }: Inner,
): Promise<void> {
  const next = gateway ?? way.to;
  const neighbors = isBridged ? [] : await way.host.neighbors();
  const neighbor = neighbors.find(({ index, ip }) => index === link.index && ip.equals(next));
  if (!isBridged) {
    const goes = way.add({
      place: link.name,
      layer: 'neighbor',
      story: `Which MAC address has ${next}? No ${QUESTION[next.family]} is sent: the agent has added the entry.`,
      entries: neighbor === undefined ? [] : [neighborLine(neighbor, way.nameOf)],
      ...firstFault(
        linkFault(link),
        neighbor?.mac === undefined && {
          reason: `${way.name} has no neighbor entry for ${next} on ${link.name}.`,
          remedy: `tulle status --peer ${way.to}`,
        },
      ),
    });
    if (!goes) return;
  }
  const target = mac ?? neighbor?.mac;
  const entries = await way.host.fdb(link.index);
  const entry = entries.find(
    one => target !== undefined && one.mac.equals(target) && one.destination !== undefined,
  );
  const peer = isBridged ? undefined : await peerOf(way);
  const goes = way.add({
    place: link.name,
    layer: 'tunnel',
    story:
      'Behind which host is that MAC address? The forwarding database says it (FDB: inner MAC to outer IP).',
    entries: entry === undefined ? [] : [fdbLine(entry, way.nameOf)],
    // A packet that was routed here was seen there.
    ...(isBridged && { passes: { link: link.name, direction: 'out' as const } }),
    ...firstFault(
      linkFault(link),
      entry === undefined && noEntry(way, link, target, entries),
      entry && wrongHost(link, entry, peer),
    ),
  });
  if (!goes || entry?.destination === undefined) return;
  await overUnderlay(way, {
    kind: isBridged ? 'bridged' : 'vxlan',
    to: String(entry.destination),
    ...(info.local !== undefined && !info.local.isUnspecified && { from: String(info.local) }),
    port: entry.port ?? info.port ?? VXLAN_PORT,
    ...((entry.vni ?? info.id) !== undefined && { vni: entry.vni ?? info.id }),
    ...(target !== undefined && { mac: String(target) }),
  });
}

function noEntry(way: PacketWay, link: Link, mac: Mac | undefined, entries: readonly FdbEntry[]): WalkFault {
  const flooded = entries.filter(one => one.mac.equals(NO_MAC) && one.destination !== undefined);
  const more =
    flooded.length === 0
      ? ''
      : `; frames for nobody known go to ${flooded.map(({ destination }) => destination).join(', ')}`;
  return {
    reason: `${way.name} has no FDB entry for ${mac} on ${link.name}${more}.`,
    remedy: `tulle status --peer ${way.to}`,
  };
}

function wrongHost(link: Link, entry: FdbEntry, peer: PeerStatus | undefined): WalkFault | undefined {
  const wanted = publicIpOf(peer, entry.destination);
  if (peer === undefined || wanted === undefined || wanted === String(entry.destination)) return undefined;
  return {
    reason: `The FDB entry leads to ${entry.destination}, and ${peer.hostName ?? peer.key} is at ${wanted}.`,
    remedy: `bridge fdb del ${entry.mac} dev ${link.name} dst ${entry.destination} self`,
  };
}

/** The peer whose block the packet is for, as the agent knows it. */
async function peerOf(way: PacketWay): Promise<PeerStatus | undefined> {
  const status = await way.host.status();
  return status?.peers.find(({ subnet }) =>
    Object.values(subnet).some(text => Prefix.tryParse(text)?.contains(way.to)),
  );
}

const publicIpOf = (peer: PeerStatus | undefined, like: Ip | undefined): string | undefined =>
  like === undefined ? undefined : peer?.publicIp[like.family];

async function portOf(way: PacketWay, link: Link): Promise<number | undefined> {
  const status = await way.host.status();
  return status?.backend?.devices.find(({ name }) => name === link.name)?.port;
}

/** `flannel.88 02:00:00:00:00:01 vxlan id 88 local 192.168.65.4 dev eth0 dstport 4789 ...`, the main part of `ip -d link`. */
const tunnelLine = ({ name, mac, info }: Link, nameOf: NameOf): string =>
  [
    name,
    mac,
    info &&
      linkInfoWords(info, nameOf).replace(/ (?:nolearning|learning|ttl|ageing|udpcsum|noudpcsum) .*$/, ''),
  ]
    .filter(word => word !== undefined)
    .join(' ');

/** @returns the link that the inner packet comes out of; undefined when it goes no further */
export function outOfTunnel(way: PacketWay, carrier: Carrier): Link | undefined {
  const link = tunnelOf(way, carrier);
  const mac = carrier.mac === undefined ? undefined : Mac.parse(carrier.mac);
  const isVxlan = carrier.kind === 'vxlan' || carrier.kind === 'bridged';
  const wrongMac = carrier.kind === 'vxlan' && mac !== undefined && link?.mac?.equals(mac) === false;
  const goes = way.add({
    place: link?.name ?? way.name,
    layer: 'tunnel',
    story: isVxlan
      ? `The kernel knows the port and the VNI, and unwraps the frame${carrier.kind === 'vxlan' ? ' for its own MAC address' : ''}.`
      : 'The packet is unwrapped.',
    entries: link === undefined ? otherTunnels(way) : [tunnelLine(link, way.nameOf)],
    ...(link !== undefined && { passes: { link: link.name, direction: 'in' as const } }),
    ...firstFault(
      link === undefined && noTunnel(way, carrier),
      link && linkFault(link),
      wrongMac && {
        reason: `The frame is for ${mac}, and ${link?.name} is ${link?.mac}: the other host has an old entry.`,
        remedy: 'tulle status',
      },
    ),
  });
  return goes ? link : undefined;
}

function tunnelOf({ links, to }: PacketWay, { kind, vni, port }: Carrier): Link | undefined {
  if (kind === 'udp') return links.find(({ info }) => info?.kind === 'tun' && info.type === 'tun');
  if (kind === 'ipip') return links.find(({ info }) => info !== undefined && linkKind(info) === 'ipip');
  return links
    .filter(({ info }) => info?.kind === 'vxlan' && info.id === vni && info.port === port)
    .toSorted((a, b) => fitOf(b, to) - fitOf(a, to))[0];
}

/** Two devices of one VNI are of two families. */
const fitOf = ({ info }: Link, to: Ip): number =>
  info?.kind === 'vxlan' && info.local?.family === to.family ? 1 : 0;

const otherTunnels = ({ links, nameOf }: PacketWay): string[] =>
  links
    .filter(({ info }) => info?.kind === 'vxlan')
    .slice(0, 5)
    .map(link => tunnelLine(link, nameOf));

const noTunnel = (way: PacketWay, { kind, vni, port }: Carrier): WalkFault =>
  kind === 'vxlan' || kind === 'bridged'
    ? {
        reason: `${way.name} has no VXLAN device for VNI ${vni} on UDP port ${port}.`,
        remedy: 'tulle status',
      }
    : {
        reason: `${way.name} has no device that takes the packet out of the tunnel.`,
        remedy: 'tulle status',
      };
