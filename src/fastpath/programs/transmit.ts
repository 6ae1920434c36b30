/**
 * `transmit`, at the ingress of a container's host end: what the container sends. A packet of a proven flow becomes a
 * packet of the tunnel here, with the headers that the kernel has made for the packets before it, and leaves by the uplink.
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
  loaded16,
  OVERHEAD,
  PLAIN,
  SKB,
  TUNNEL,
  UDP_HEADER,
  UDP_SIZE,
} from './headers.ts';
import { FLOW_LAYOUT, TEMPLATE_SIZE, WANTED_SEEN } from './layout.ts';
import { forgetProofs, pend } from './proof.ts';
import { BEHIND_ETHERNET, ENCAPSULATE } from './room.ts';

const ENTRY = FLOW_LAYOUT.at;
/** In the mark of a packet, until `sent` sees it: it took the fast path, and proves nothing. `tull`. */
export const FAST_MARK = 0x7475_6c6c;
/** Adjacent bytes: sentSeen, deliveredSeen. */
const ONE_WAY = loaded16(WANTED_SEEN * 256);
/** Of an IP packet. */
const MOST_BYTES = 65_535;

export function transmitProgram(maps: FlowMaps, vni: number): ProgramText {
  const program = new FlowProgram(maps);
  const { ip } = PLAIN;
  program
    .begin()
    .frame(ip + IPV4_SIZE + UDP_SIZE, 'next')
    .wantWholePacket(ip);
  program.key(ip, 'from container', vni).endOfConnection(ip);
  program.frame(ip + IPV4_SIZE + UDP_SIZE, 'next').findFlow('next');
  program.load(R1, R8, ENTRY.sentSeen.offset, 2).jumpIf(R1, '==', ONE_WAY, 'one way').label('maybe fast');
  program.loadField(R3, R7, IPV4.protocol, ip);
  wantPlainPacket(program, ip);
  wantSender(program);
  wantRoom(program, ip);
  wantProof(program, 'sent', ip);

  // The first change, and the last that can fail: until here the packet can still take the normal path.
  program.move(R1, R6).move(R2, OVERHEAD).move(R3, BEHIND_ETHERNET).loadNumber(R4, ENCAPSULATE);
  program.call('skb_adjust_room').giveUpIf(R0, '!=', 0, 'no room');
  program.frame(TUNNEL.ip + IPV4_SIZE, 'drop');
  encapsulate(program);
  takeHops(program, 'sent', TUNNEL.ip);
  program.loadField(R1, R8, ENTRY.priority).storeField(R6, SKB.priority, R1);
  program.loadField(R9, R8, ENTRY.uplink).wantSameEntry();
  program.move(R1, FAST_MARK).storeField(R6, SKB.mark, R1);
  program.move(R1, R9).move(R2, 0).call('redirect').exit();

  passOneWay(program);
  program.label('pend');
  notePending(program);
  return program.ends().dropEnd().finish();
}

/**
 * Only the interface that the flow was proven at, and a frame between the two that deliver to each other there: another
 * container with that address of its own, or another neighbour than the gateway, is for the normal path. Forgets R1, R2.
 */
function wantSender(program: FlowProgram): void {
  program.loadField(R1, R6, SKB.ifindex).loadField(R2, R8, ENTRY.hostEnd);
  program.giveUpIf(R1, '!=', R2, 'other link', 'pend');
  for (const [own, other] of [
    [ETHERNET.destination, ETHERNET.source],
    [ETHERNET.source, ETHERNET.destination],
  ] as const) {
    const [mine, theirs] = [own.offset, ENTRY.delivered.offset + other.offset];
    program.load(R1, R7, mine, 4).load(R2, R8, theirs, 4).giveUpIf(R1, '!=', R2, 'other addresses', 'pend');
    program
      .load(R1, R7, mine + 4, 2)
      .load(R2, R8, theirs + 4, 2)
      .giveUpIf(R1, '!=', R2, 'other addresses', 'pend');
  }
}

/** Longer packets than have passed may need an answer (ICMP), or fragments. Forgets R1, R2, R5. */
function wantRoom(program: FlowProgram, ip: number): void {
  program.giveUpIf(R9, '>', MOST_BYTES - OVERHEAD, 'too long', 'pend');
  program.segmentLength(ip).loadField(R1, R8, ENTRY.sentLongest);
  program.giveUpIf(R5, '>', R1, 'too long', 'pend');
}

/**
 * The template, with what each packet has of its own: lengths, ECN (RFC 6040: congestion is not copied outwards), and an
 * identification that no two packets of the flow share. R9 has the total length of the packet. Forgets R0 to R5.
 */
function encapsulate(program: FlowProgram): void {
  const { outerIp, udp } = TUNNEL;
  const template = ENTRY.template.offset;
  program.copy([R8, template], [R7, 0], TEMPLATE_SIZE, R1);
  // R4: the sum of the header, begun by what is in the template already. R5: bytes of the outer packet.
  program.load(R4, R8, template + outerIp + IPV4.checksum.offset, 2);
  program.move(R5, R9).add(R5, OVERHEAD).toBigEndian(R5, 16);
  program.storeField(R7, IPV4.totalLength, R5, outerIp).add(R4, R5);

  segments(program, R1);
  program.atomicFetchAdd(R8, ENTRY.sentPackets.offset, R1, 8).atomicAdd(R8, ENTRY.sentBytes.offset, R9, 8);
  program
    .load(R2, R8, template + udp + UDP_HEADER.source.offset, 2)
    .add(R1, R2)
    .toBigEndian(R1, 16);
  program.storeField(R7, IPV4.id, R1, outerIp).add(R4, R1);

  program.loadField(R1, R7, IPV4.tos, TUNNEL.ip).and(R1, ECN).jumpIf(R1, '!=', CONGESTION, 'no congestion');
  program.move(R1, 2).label('no congestion').loadField(R2, R7, IPV4.tos, outerIp).or(R2, R1);
  program.storeField(R7, IPV4.tos, R2, outerIp).toBigEndian(R1, 16).add(R4, R1);

  for (let carry = 0; carry < 2; carry++) program.move(R1, R4).shiftRight(R1, 16).and(R4, 0xffff).add(R4, R1);
  program.xor(R4, 0xffff).storeField(R7, IPV4.checksum, R4, outerIp);
  program
    .move(R5, R9)
    .add(R5, OVERHEAD - IPV4_SIZE)
    .toBigEndian(R5, 16)
    .storeField(R7, UDP_HEADER.length, R5, udp);
}

/**
 * A flow that nobody answers cannot take the fast path, however often it is proven: once in the lifetime of a proof is
 * enough, so that it costs a sender of datagrams no more than the look-up.
 */
function passOneWay(program: FlowProgram): void {
  program.label('one way').generations().jumpIf(R1, '!=', R2, 'maybe fast');
  program.loadField(R1, R6, SKB.ifindex).loadField(R2, R8, ENTRY.hostEnd).jumpIf(R1, '!=', R2, 'maybe fast');
  program.call('ktime_get_coarse_ns').loadField(R1, R8, ENTRY.sentUntil).jumpIf(R0, '<=', R1, 'next');
  program.jump('maybe fast');
}

/** The flow is that of the container behind this interface from now on: `delivered` proves it there and nowhere else. */
function notePending(program: FlowProgram): void {
  program
    .loadField(R1, R6, SKB.ifindex)
    .loadField(R2, R8, ENTRY.hostEnd)
    .jumpIf(R1, '==', R2, 'same host end');
  forgetProofs(program);
  program.storeField(R8, ENTRY.hostEnd, R1).label('same host end');
  program.copy([R7, ETHERNET.source.offset], [R8, ENTRY.sender.offset], ENTRY.sender.size, R1);
  pend(program, 'sent', PLAIN.ip);
  program.jump('count');
}
