/** The kinds of packets that an overlay is made of, as the firewall of one host sees them. */
import { ADDRESS_BITS, type Family } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import type { OverlayBlock, TunnelTraffic } from '../desired.ts';
import type { Packet } from './packet.ts';

/** The bit by which dockerd knows what to let through: `--bridge-accept-fwmark=0x10000/0x10000`. */
export const OVERLAY_MARK = 0x10000;

/** A kind is absent where there is none, or where nothing is known of it yet. */
export interface OverlayPackets {
  /** Between containers, unwrapped. */
  readonly toHosts?: Packet;
  readonly fromHosts?: Packet;
  /** Between hosts, wrapped. */
  readonly tunnelOut?: Packet;
  readonly tunnelIn?: Packet;
  /** Requests of peers to the agent. */
  readonly apiIn?: Packet;
}

export function overlayPackets(
  block: OverlayBlock | undefined,
  tunnel: TunnelTraffic | undefined,
  family: Family,
): OverlayPackets {
  return { ...(block && containerPackets(block)), ...(tunnel && tunnelPackets(tunnel, family)) };
}

function containerPackets({ network, subnet, devices, bridges }: OverlayBlock): OverlayPackets {
  const others = without(network, subnet);
  if (others.length === 0) return {};
  const hostLength = subnet.length;
  return {
    toHosts: {
      family: network.family,
      name: 'packets of containers to other hosts',
      source: [subnet],
      destination: others,
      ...(bridges && { input: bridges }),
      ...(devices && { output: devices }),
      mark: 0,
      hostLength,
    },
    fromHosts: {
      family: network.family,
      name: 'packets of other hosts to containers',
      source: others,
      destination: [subnet],
      ...(devices && { input: devices }),
      ...(bridges && { output: bridges }),
      mark: devices === undefined ? 0 : OVERLAY_MARK,
      hostLength,
    },
  };
}

function tunnelPackets({ link, ports, own, peers, apiPort }: TunnelTraffic, family: Family): OverlayPackets {
  const hostLength = ADDRESS_BITS[family];
  const single = (ips: TunnelTraffic['own']) =>
    ips.filter(ip => ip.family === family).map(ip => Prefix.of(ip, hostLength));
  const [here, there] = [single(own), single(peers)];
  if (here.length === 0) return {};
  const wrapped = { family, protocol: 'udp', destinationPorts: ports, mark: 0, hostLength } as const;
  return {
    tunnelOut: {
      ...wrapped,
      name: 'tunnel packets to peers',
      source: here,
      destination: there,
      output: [link],
    },
    tunnelIn: {
      ...wrapped,
      name: 'tunnel packets of peers',
      source: there,
      destination: here,
      input: [link],
    },
    ...(apiPort !== undefined && {
      apiIn: {
        ...wrapped,
        protocol: 'tcp',
        destinationPorts: [apiPort],
        name: 'requests of peers to the agent',
        source: there,
        destination: here,
        input: [link],
      },
    }),
  };
}

/** What is left of a block without a part of it, as few blocks. */
function without(block: Prefix, part: Prefix): Prefix[] {
  const rest: Prefix[] = [];
  for (let length = part.length; length > block.length; length--) {
    const half = Prefix.of(part.ip, length);
    const whole = Prefix.of(part.ip, length - 1);
    const lower = Prefix.of(whole.ip, length);
    rest.push(lower.equals(half) ? Prefix.of(half.last.plus(1n), length) : lower);
  }
  return rest;
}
