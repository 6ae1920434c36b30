/** What a picture of a packet says of each layer: its name, its size, and the fields that a reader looks for. */
import { type Layer, layerOf } from '../../src/inspect/decode/layers.ts';
import type { Role } from './svg.ts';
import type { PacketWords } from './words.ts';

export interface LayerField {
  readonly name: keyof PacketWords['fields'];
  readonly value: string;
  /** What the number means. */
  readonly means?: string;
}

export interface LayerText {
  readonly name: string;
  readonly role: Role;
  readonly fields: readonly LayerField[];
}

const HEADERS = { ethernet: 14, vlan: 4, arp: 28, ipv6: 40, udp: 8, vxlan: 8, 'flannel-udp': 0 } as const;
const ICMP_ECHO = 8;

/** Bytes of each layer; undefined where the frame does not tell. */
export function sizesOf(layers: readonly Layer[]): (number | undefined)[] {
  const sizes = layers.map(sizeOf);
  return sizes.map((size, index) => size ?? restOf(layers, sizes, index));
}

function sizeOf(layer: Layer): number | undefined {
  switch (layer.layer) {
    case 'ipv4':
      return layer.headerLength;
    case 'payload':
      return layer.length;
    case 'icmp':
    case 'icmpv6':
      return layer.sequence === undefined ? undefined : ICMP_ECHO;
    case 'ethernet':
    case 'vlan':
    case 'arp':
    case 'ipv6':
    case 'udp':
    case 'vxlan':
    case 'flannel-udp':
      return HEADERS[layer.layer];
    case 'ipv6-extension':
    case 'tcp':
    case 'problem':
      return undefined;
  }
}

/** A header of variable size: what the packet around it has, less all the others in it. */
function restOf(
  layers: readonly Layer[],
  sizes: readonly (number | undefined)[],
  index: number,
): number | undefined {
  if (layers[index]?.layer === 'problem') return undefined;
  const start = layers.findLastIndex((item, at) => at < index && lengthOf(item) !== undefined);
  const whole = start < 0 ? undefined : lengthOf(layers[start]);
  const others = sizes.filter((_, at) => at >= start && at !== index);
  if (whole === undefined || others.includes(undefined)) return undefined;
  return whole - others.reduce<number>((sum, size) => sum + (size ?? 0), 0);
}

/** Bytes of an IP packet with its header. */
function lengthOf(layer: Layer | undefined): number | undefined {
  if (layer?.layer === 'ipv4' && layer.totalLength > 0) return layer.totalLength;
  return layer?.layer === 'ipv6' ? layer.payloadLength + HEADERS.ipv6 : undefined;
}

const ETHER_TYPES: Readonly<Record<number, string>> = {
  0x0800: 'IPv4',
  0x0806: 'ARP',
  0x8100: 'VLAN',
  0x86dd: 'IPv6',
};
const PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'ICMP',
  4: 'IPv4',
  6: 'TCP',
  17: 'UDP',
  41: 'IPv6',
  58: 'ICMPv6',
};
const ICMP_TYPES: Readonly<Record<number, string>> = {
  0: 'echo reply',
  3: 'unreachable',
  5: 'redirect',
  8: 'echo request',
  11: 'time exceeded',
};
const ARP_OPERATIONS: Readonly<Record<number, string>> = { 1: 'request', 2: 'reply' };

const hex = (value: number, digits = 4) => `0x${value.toString(16).padStart(digits, '0')}`;

function field(name: LayerField['name'], value: unknown, means?: string): LayerField {
  return { name, value: `${value as string}`, ...(means === undefined ? {} : { means }) };
}

/** @param all the layers of the frame: a port means something because of what follows. */
export function layerText(layer: Layer, all: readonly Layer[]): LayerText {
  switch (layer.layer) {
    case 'ethernet':
      return {
        name: 'Ethernet',
        role: 'ethernet',
        fields: [
          field('source', layer.source),
          field('destination', layer.destination),
          field('type', hex(layer.type), ETHER_TYPES[layer.type]),
        ],
      };
    case 'vlan':
      return {
        name: 'VLAN',
        role: 'ethernet',
        fields: [field('id', layer.id), field('type', hex(layer.type), ETHER_TYPES[layer.type])],
      };
    case 'arp':
      return {
        name: 'ARP',
        role: 'transport',
        fields: [
          field('operation', layer.operation, ARP_OPERATIONS[layer.operation]),
          field('sender', layer.sender),
          field('senderMac', layer.senderMac),
          field('target', layer.target),
          field('targetMac', layer.targetMac),
        ],
      };
    case 'ipv4':
      return {
        name: 'IPv4',
        role: 'ip',
        fields: [
          field('source', layer.source),
          field('destination', layer.destination),
          field('ttl', layer.ttl),
          field('protocol', layer.protocol, PROTOCOLS[layer.protocol]),
          field('length', layer.totalLength),
        ],
      };
    case 'ipv6':
      return {
        name: 'IPv6',
        role: 'ip',
        fields: [
          field('source', layer.source),
          field('destination', layer.destination),
          field('hopLimit', layer.hopLimit),
          field('protocol', layer.nextHeader, PROTOCOLS[layer.nextHeader]),
          field('length', layer.payloadLength),
        ],
      };
    case 'ipv6-extension':
      return { name: `IPv6 ${layer.kind}`, role: 'ip', fields: [] };
    case 'udp':
      return {
        name: 'UDP',
        role: 'transport',
        fields: [
          field('sourcePort', layer.sourcePort),
          field('destinationPort', layer.destinationPort, tunnelIn(all)),
          field('length', layer.length),
        ],
      };
    case 'tcp':
      return {
        name: 'TCP',
        role: 'transport',
        fields: [
          field('sourcePort', layer.sourcePort),
          field('destinationPort', layer.destinationPort),
          ...(layer.flags === undefined ? [] : [field('flags', layer.flags.join(' '))]),
          field('sequence', layer.sequence),
        ],
      };
    case 'icmp':
    case 'icmpv6':
      return {
        name: layer.layer === 'icmp' ? 'ICMP' : 'ICMPv6',
        role: 'transport',
        fields: [
          field('type', layer.type, layer.layer === 'icmp' ? ICMP_TYPES[layer.type] : undefined),
          ...(layer.id === undefined ? [] : [field('id', layer.id)]),
          ...(layer.sequence === undefined ? [] : [field('sequence', layer.sequence)]),
          ...(layer.mtu === undefined ? [] : [field('mtu', layer.mtu)]),
        ],
      };
    case 'vxlan':
      return {
        name: 'VXLAN',
        role: 'transport',
        fields: [field('vni', layer.vni), field('flags', hex(layer.flags, 2))],
      };
    case 'flannel-udp':
      return { name: 'flannel udp', role: 'transport', fields: [] };
    case 'payload':
      return { name: 'data', role: 'payload', fields: [] };
    case 'problem':
      return { name: layer.text, role: 'payload', fields: [] };
  }
}

function tunnelIn(layers: readonly Layer[]): string | undefined {
  if (layerOf(layers, 'vxlan') !== undefined) return 'VXLAN';
  return layerOf(layers, 'flannel-udp') === undefined ? undefined : 'flannel udp';
}
