/**
 * The program in the kernel that lets only packets of one flow pass to us, so that a busy host pays for nothing else: plain,
 * in VXLAN, in flannel's udp and in IP over either family, and quoted by ICMP errors, those about the tunnel's packets too.
 * ARP and neighbor discovery pass, which are few.
 *
 * It lets pass what `flowPacket` (flow-packet.ts) recognizes, and of frames that are well formed nothing else: a test holds
 * the two together.
 */

import type { Ip } from '../../base/ip.ts';
import { ETHERTYPE } from '../../base/neighbor-messages.ts';
import { FilterProgram } from '../../sys/filter-program.ts';
import { type FilterInstruction, LINK_TYPE } from '../../sys/socket-filter.ts';
import {
  ERROR_TYPES_OF_ICMP,
  FIRST_INFORMATION_OF_ICMPV6,
  ICMP_OF,
  TCP_PROTOCOL,
  UDP_PROTOCOL,
  type WatchedFlow,
} from './watched-flow.ts';

/** UDP ports of the tunnels of a host. */
export interface TunnelPorts {
  readonly vxlanPorts: readonly number[];
  readonly flannelPorts: readonly number[];
}

/** Bytes that are kept: the headers of the largest, an ICMPv6 error about a tunnel's packet. */
const SNAPSHOT = 320;
/** More tags than any frame has. */
const MOST_TAGS = 3;
const VLANS = [0x8100, 0x88a8];
/** ARPHRD_NONE, IPIP, IP6IP6, SIT: frames begin with an IP header. */
const WITHOUT_ETHERNET = [65_534, 768, 769, 776];
const IPV6_FRAGMENT = 44;
const IP_IN_IP = [4, 41];

/** Places that numbers are kept in. */
const ROLES = 0;
const PROTOCOL = 1;
const LENGTH = 2;

/** Which addresses of the flow a packet has, as bits of ROLES. */
const SOURCE_IS_FROM = 1;
const DESTINATION_IS_TO = 2;
const SOURCE_IS_TO = 4;
const DESTINATION_IS_FROM = 8;
const REQUEST = SOURCE_IS_FROM | DESTINATION_IS_TO;
const REPLY = SOURCE_IS_TO | DESTINATION_IS_FROM;

/** A header of IP, where it is: which levels are within it. */
interface Level {
  readonly name: string;
  readonly tunnelled?: string;
  readonly quoted?: string;
}

/** From the outermost in: jumps of a filter lead forward only. */
const LEVELS: readonly Level[] = [
  { name: 'outer', tunnelled: 'inner', quoted: 'quoted' },
  { name: 'inner', quoted: 'quoted-inner' },
  { name: 'quoted', tunnelled: 'quoted-inner' },
  { name: 'quoted-inner' },
];

export function flowFilter(flow: WatchedFlow, ports: TunnelPorts): FilterInstruction[] {
  const program = new FilterProgram().setOffset(0).loadFact(LINK_TYPE);
  for (const type of WITHOUT_ETHERNET) program.ifEqual(type, 'outer');
  readEthernet(program, 'frame');
  program.ifEqual(ETHERTYPE.arp, 'pass').ifEqual(ETHERTYPE.ipv4, 'frame has ip');
  program.unlessEqual(ETHERTYPE.ipv6, 'drop').label('frame has ip').advance(14);
  for (const level of LEVELS) readLevel(program, level, flow, ports);
  return program.label('drop').end(0).label('pass').end(SNAPSHOT).build();
}

/** The type of the frame at `offset`, behind its tags. */
function readEthernet(program: FilterProgram, name: string): void {
  for (let tag = 0; tag < MOST_TAGS; tag++) {
    program.load('half', 12);
    for (const type of VLANS) program.ifEqual(type, `${name} tag ${tag}`);
    program.jump(`${name} type`).label(`${name} tag ${tag}`).advance(4);
  }
  program.label(`${name} type`).load('half', 12);
}

function readLevel(program: FilterProgram, level: Level, flow: WatchedFlow, ports: TunnelPorts): void {
  const { name } = level;
  program.label(name).load('byte', 0).shiftRight(4).ifEqual(4, `${name} 4`).unlessEqual(6, 'drop');
  readIpv6(program, name, flow);
  program.label(`${name} 4`);
  readIpv4(program, name, flow);
  program.label(`${name} data`).recall(LENGTH).advanceByNumber().recall(PROTOCOL);
  readData(program, level, flow, ports);
}

function readIpv6(program: FilterProgram, name: string, { from, to }: WatchedFlow): void {
  program.set(40).keepIn(LENGTH).load('byte', 6).keepIn(PROTOCOL).unlessEqual(IPV6_FRAGMENT, `${name} whole`);
  // Only the first fragment begins with the header of the next layer.
  program.load('half', 42).ifAnyBitOf(0xfff8, 'drop');
  program.set(48).keepIn(LENGTH).load('byte', 40).keepIn(PROTOCOL).label(`${name} whole`);
  if (from.family === 'ipv6') readRoles(program, `${name} 6`, { from, to, source: 8, destination: 24 });
  else program.set(0).keepIn(ROLES);
  program.jump(`${name} data`);
}

function readIpv4(program: FilterProgram, name: string, { from, to }: WatchedFlow): void {
  program.load('half', 6).ifAnyBitOf(0x1fff, 'drop');
  program.load('byte', 0).and(0x0f).shiftLeft(2).keepIn(LENGTH).load('byte', 9).keepIn(PROTOCOL);
  if (from.family === 'ipv4') readRoles(program, `${name} 4`, { from, to, source: 12, destination: 16 });
  else program.set(0).keepIn(ROLES);
}

interface Addresses {
  readonly from: Ip;
  readonly to: Ip;
  /** Offsets in the header. */
  readonly source: number;
  readonly destination: number;
}

function readRoles(program: FilterProgram, name: string, { from, to, source, destination }: Addresses): void {
  program.set(0).keepIn(ROLES);
  const compare = (ip: Ip, offset: number, role: number) => {
    const view = new DataView(ip.bytes.buffer);
    const end = `${name} not ${role}`;
    for (let word = 0; word < view.byteLength; word += 4)
      program.load('word', offset + word).unlessEqual(view.getUint32(word), end);
    program.recall(ROLES).or(role).keepIn(ROLES).label(end);
  };
  compare(from, source, SOURCE_IS_FROM);
  compare(to, destination, DESTINATION_IS_TO);
  compare(to, source, SOURCE_IS_TO);
  compare(from, destination, DESTINATION_IS_FROM);
}

/** What IP carries, with its protocol as the number and the offset behind its header. */
function readData(program: FilterProgram, level: Level, flow: WatchedFlow, ports: TunnelPorts): void {
  const { name, tunnelled, quoted } = level;
  const isTunnel = `${name} udp`;
  program
    .ifEqual(ICMP_OF.ipv4.protocol, `${name} icmp ipv4`)
    .ifEqual(ICMP_OF.ipv6.protocol, `${name} icmp ipv6`);
  if (tunnelled !== undefined) for (const protocol of IP_IN_IP) program.ifEqual(protocol, tunnelled);
  if (flow.protocol !== 'icmp') {
    const isOther = tunnelled === undefined ? 'drop' : isTunnel;
    program.unlessEqual(flow.protocol === 'tcp' ? TCP_PROTOCOL : UDP_PROTOCOL, isOther);
    readPorts(program, name, flow, isOther);
  } else if (tunnelled === undefined) program.jump('drop');
  if (tunnelled !== undefined) {
    program.label(isTunnel).recall(PROTOCOL).unlessEqual(UDP_PROTOCOL, 'drop');
    readTunnel(program, name, tunnelled, ports);
  }
  for (const family of ['ipv4', 'ipv6'] as const) {
    program.label(`${name} icmp ${family}`).load('byte', 0);
    readIcmp(program, { name, family, quoted, mayAsk: name === 'outer' }, flow);
  }
}

function readPorts(
  program: FilterProgram,
  name: string,
  { chosen, toPort }: WatchedFlow,
  other: string,
): void {
  // Source and destination port, of a request and of a reply.
  const directions = [
    { bits: REQUEST, chosenAt: 0, toPortAt: 2 },
    { bits: REPLY, chosenAt: 2, toPortAt: 0 },
  ];
  for (const { bits, chosenAt, toPortAt } of directions) {
    const next = `${name} ports not ${bits}`;
    requireRoles(program, bits, chosen !== undefined, next);
    if (chosen !== undefined) program.load('half', chosenAt).unlessEqual(chosen, next);
    else if (toPort !== undefined) program.load('half', toPortAt).unlessEqual(toPort, next);
    program.jump('pass').label(next);
  }
  program.jump(other);
}

/** With a number that its sender chose one address is enough. */
function requireRoles(program: FilterProgram, bits: number, isOneEnough: boolean, otherwise: string): void {
  program.recall(ROLES).and(bits);
  if (isOneEnough) program.ifEqual(0, otherwise);
  else program.unlessEqual(bits, otherwise);
}

function readTunnel(program: FilterProgram, name: string, inside: string, ports: TunnelPorts): void {
  program.load('half', 2);
  for (const port of ports.vxlanPorts) program.ifEqual(port, `${name} vxlan`);
  for (const port of ports.flannelPorts) program.ifEqual(port, `${name} flannel`);
  program.jump('drop');
  // Behind the UDP header: the flag of a VNI, and a frame behind 8 bytes.
  program.label(`${name} vxlan`).load('byte', 8).unlessAnyBitOf(0x08, 'drop').advance(16);
  readEthernet(program, `${name} frame`);
  program.ifEqual(ETHERTYPE.ipv4, `${name} frame has ip`).unlessEqual(ETHERTYPE.ipv6, 'drop');
  program.label(`${name} frame has ip`).advance(14).jump(inside);
  program.label(`${name} flannel`).advance(8).jump(inside);
}

interface IcmpPlace {
  readonly name: string;
  readonly family: 'ipv4' | 'ipv6';
  readonly quoted: string | undefined;
  readonly mayAsk: boolean;
}

/** Neighbor solicitation and advertisement, RFC 4861. */
const DISCOVERY = [135, 136];

/** With its type as the number. */
function readIcmp(
  program: FilterProgram,
  { name, family, quoted, mayAsk }: IcmpPlace,
  flow: WatchedFlow,
): void {
  const { request, reply } = ICMP_OF[family];
  if (family === 'ipv6' && mayAsk) for (const type of DISCOVERY) program.ifEqual(type, 'pass');
  if (flow.protocol === 'icmp' && flow.from.family === family) {
    program.ifEqual(request, `${name} request`).ifEqual(reply, `${name} reply`);
  }
  if (quoted === undefined) program.jump('drop');
  else if (family === 'ipv4') {
    for (const type of ERROR_TYPES_OF_ICMP) program.ifEqual(type, `${name} error ${family}`);
    program.jump('drop');
  } else program.ifAtLeast(FIRST_INFORMATION_OF_ICMPV6, 'drop').ifEqual(0, 'drop');
  if (flow.protocol === 'icmp' && flow.from.family === family) {
    // Before it, so that the error is what is left.
    if (family === 'ipv6' && quoted !== undefined) program.jump(`${name} error ${family}`);
    const { chosen } = flow;
    for (const [packet, bits] of [
      ['request', REQUEST],
      ['reply', REPLY],
    ] as const) {
      program.label(`${name} ${packet}`);
      requireRoles(program, bits, chosen !== undefined, 'drop');
      if (chosen !== undefined) program.load('half', 4).unlessEqual(chosen, 'drop');
      program.jump('pass');
    }
  }
  if (quoted !== undefined) program.label(`${name} error ${family}`).advance(8).jump(quoted);
}
