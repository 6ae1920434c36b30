/**
 * `receive`, at the ingress of an uplink: what comes from tunnels. A packet of a proven flow loses its outer headers here,
 * and is in the container's network namespace at once. A packet whose outer sender is not the one that the flow is sent to
 * is left to the normal path, where the filter of senders is.
 */
import type { ProgramText } from '../../bpf/assembler.ts';
import { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9 } from '../../bpf/instructions.ts';
import { segments, takeHops, wantPlainPacket, wantProof } from './carry.ts';
import { type FlowMaps, FlowProgram } from './flow-program.ts';
import {
  CONGESTION,
  ECN,
  ETHERNET,
  IPV4,
  IPV4_SIZE,
  OVERHEAD,
  PLAIN,
  SKB,
  TCP_SIZE,
  TUNNEL,
  UDP_HEADER,
  UDP_SIZE,
} from './headers.ts';
import { ETHERNET_SIZE, FLOW_LAYOUT } from './layout.ts';
import { pend } from './proof.ts';
import { BEHIND_ETHERNET, DECAPSULATE } from './room.ts';
import { wantTunnel, wantVxlan } from './tunnel-packet.ts';

const ENTRY = FLOW_LAYOUT.at;
/** linux/if_packet.h: the frame has the address of this link. */
const PACKET_HOST = 0;
/** BPF_CSUM_LEVEL_DEC. */
const ONE_CHECKSUM_LESS = 2;

/** Up to the end of the ports of UDP, and to that of a TCP header. */
const SHORTEST = TUNNEL.ip + IPV4_SIZE + UDP_SIZE;
const WANTED = TUNNEL.ip + IPV4_SIZE + TCP_SIZE;

export function receiveProgram(maps: FlowMaps): ProgramText {
  const program = new FlowProgram(maps);
  const { outerIp, vxlan, ip } = TUNNEL;
  program.begin();
  // A link that listens to all frames sees those of others too.
  program.loadField(R1, R6, SKB.pktType).jumpIf(R1, '!=', PACKET_HOST, 'next');
  program.loadField(R1, R6, SKB.len).jumpIf(R1, '<', SHORTEST, 'next');
  program.frame(WANTED, 'in pieces').label('in one piece');
  wantTunnel(program, 'of a tunnel');
  program.frame(SHORTEST, 'next');
  wantVxlan(program);
  program.wantWholePacket(ip).key(ip, 'to container', { vxlan }).findFlow('next');
  // First: whoever else can send to this port must not end flows.
  wantPeer(program);
  program.loadField(R3, R7, IPV4.protocol, ip).endOfConnection(ip).frame(SHORTEST, 'next');
  program.loadField(R1, R7, IPV4.totalLength, outerIp).toBigEndian(R1, 16).loadField(R2, R6, SKB.len);
  program.subtract(R2, outerIp).giveUpIf(R1, '!=', R2, 'length');
  // What congestion on the way means for the packet within is for the kernel to say (RFC 6040).
  program.loadField(R1, R7, IPV4.tos, outerIp).and(R1, ECN).giveUpIf(R1, '==', CONGESTION, 'congestion');
  wantPlainPacket(program, ip);
  program.segmentLength(ip).loadField(R1, R8, ENTRY.deliveredLongest);
  program.giveUpIf(R5, '>', R1, 'too long', 'pend');
  wantProof(program, 'delivered', ip);

  segments(program, R1);
  program
    .atomicAdd(R8, ENTRY.deliveredPackets.offset, R1, 8)
    .atomicAdd(R8, ENTRY.deliveredBytes.offset, R9, 8);
  program.move(R1, R6).move(R2, -OVERHEAD).move(R3, BEHIND_ETHERNET).loadNumber(R4, DECAPSULATE);
  program.call('skb_adjust_room').giveUpIf(R0, '!=', 0, 'no room');
  // What the link has verified was counted from outside: the outer UDP header, also one with a checksum of 0, was the first.
  program.move(R1, R6).move(R2, ONE_CHECKSUM_LESS).call('csum_level');
  program.frame(PLAIN.ip + IPV4_SIZE, 'drop').copy([R8, ENTRY.delivered.offset], [R7, 0], ETHERNET_SIZE, R1);
  takeHops(program, 'delivered', PLAIN.ip);
  program.loadField(R9, R8, ENTRY.hostEnd).wantSameEntry();
  program.move(R1, R9).move(R2, 0).call('redirect_peer').exit();

  program.label('pend');
  pend(program, 'delivered', ip);
  program.jump('count').ends();
  pullHeaders(program);
  return program.dropEnd().finish();
}

/**
 * Headers of a real NIC's packets may be in pieces that a program does not see. The outer ones every packet needs in one
 * piece sooner or later; the inner ones are pulled for packets of a tunnel only.
 */
function pullHeaders(program: FlowProgram): void {
  const outer = TUNNEL.udp + UDP_SIZE;
  const pull = () => program.move(R1, R6).call('skb_pull_data').jumpIf(R0, '!=', 0, 'next');
  program.label('in pieces').frame(outer, 'outer headers in pieces').jump('outer headers');
  program.label('outer headers in pieces').move(R2, outer);
  pull();
  program.frame(outer, 'next').label('outer headers');
  wantTunnel(program, 'pull inner headers');
  program.loadField(R2, R6, SKB.len).jumpIf(R2, '<=', WANTED, 'shorter than wanted').move(R2, WANTED);
  program.label('shorter than wanted');
  pull();
  program.frame(SHORTEST, 'next').jump('in one piece');
}

/** From the tunnel's other end that the flow is sent to, by the same uplink, and for us. Forgets R1, R2. */
function wantPeer(program: FlowProgram): void {
  const template = ENTRY.template.offset;
  const { outerIp, udp, inner } = TUNNEL;
  program.loadField(R1, R6, SKB.ifindex).loadField(R2, R8, ENTRY.uplink);
  program.giveUpIf(R1, '!=', R2, 'other link');
  const same = (here: number, there: number, width: 2 | 4) =>
    program
      .load(R1, R7, here, width)
      .load(R2, R8, template + there, width)
      .giveUpIf(R1, '!=', R2, 'other addresses');
  const [source, destination] = [outerIp + IPV4.source.offset, outerIp + IPV4.destination.offset];
  same(source, destination, 4);
  same(destination, source, 4);
  same(udp + UDP_HEADER.destination.offset, udp + UDP_HEADER.destination.offset, 2);
  const [to, from] = [inner + ETHERNET.destination.offset, inner + ETHERNET.source.offset];
  for (const [here, there] of [
    [to, from],
    [from, to],
  ] as const) {
    same(here, there, 4);
    same(here + 4, there + 4, 2);
  }
}
