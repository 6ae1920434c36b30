/**
 * What the fast path does with a packet in both directions: whether its flow is proven, and the changes that every hop
 * makes.
 */
import { R0, R1, R2, R3, R6, R7, R8, R9, type Register } from '../../bpf/instructions.ts';
import type { FlowProgram } from './flow-program.ts';
import { DSCP, IPV4, loaded16, loaded32, SKB, TRANSPORT } from './headers.ts';
import { FLOW_LAYOUT, WANTED_SEEN } from './layout.ts';
import type { ProofDirection } from './proof.ts';

const ENTRY = FLOW_LAYOUT.at;
/** Adjacent bytes: sentSeen, deliveredSeen, cleared, zero. */
const READY = loaded32(WANTED_SEEN * 0x0101_0000 + 0x0100);

/**
 * Packets of the flow that prove nothing about the others, nor take the fast path: they are let go, without a note. Wants
 * the frame in R7, the protocol in R3; R9 becomes the total length. Forgets R1.
 *
 * @param ip where the IP header begins, up to which the frame has nothing else
 */
export function wantPlainPacket(program: FlowProgram, ip: number): void {
  // Somebody who marks packets, or tags them, wants something done with them.
  program.loadField(R1, R6, SKB.mark).giveUpIf(R1, '!=', 0, 'mark or VLAN');
  program.loadField(R1, R6, SKB.vlanPresent).giveUpIf(R1, '!=', 0, 'mark or VLAN');
  // Padding behind the packet would be carried over; BIG TCP has a total length of 0.
  program.loadField(R9, R7, IPV4.totalLength, ip).toBigEndian(R9, 16);
  program.loadField(R1, R6, SKB.len).subtract(R1, ip).giveUpIf(R1, '!=', R9, 'length');
  // adjust_room leaves the tunnel in the kind of segments: sockets lose those of UDP.
  program.loadField(R1, R6, SKB.gsoSize).jumpIf(R1, '==', 0, 'is plain');
  program.giveUpIf(R3, '!=', TRANSPORT.tcp, 'UDP segments').label('is plain');
}

/** Goes on where the flow is proven for packets like the one in R7; others are noted, to prove it. Keeps R6 to R9. */
export function wantProof(program: FlowProgram, direction: ProofDirection, ip: number): void {
  program.generations().giveUpIf(R1, '!=', R2, 'generation', 'pend');
  // At its last hop the normal path answers by ICMP; rules look at it too, and may change it.
  program.loadField(R1, R7, IPV4.ttl, ip).loadField(R2, R8, ENTRY[`${direction}Ttl`]);
  program.giveUpIf(R1, '!=', R2, 'TTL', 'pend');
  program.loadField(R1, R7, IPV4.tos, ip).and(R1, DSCP);
  program.loadField(R2, R8, ENTRY[`${direction}Dscp`]).giveUpIf(R1, '!=', R2, 'DSCP', 'pend');
  program.load(R1, R8, ENTRY.sentSeen.offset, 4).giveUpIf(R1, '!=', READY, 'unproven', 'pend');
  program.call('ktime_get_coarse_ns').loadField(R1, R8, ENTRY[`${direction}Until`]);
  program.giveUpIf(R0, '>', R1, 'expired', 'pend');
}

/** `to` becomes how many packets there are on the wire. Forgets R1. */
export function segments(program: FlowProgram, to: Register): void {
  program
    .loadField(to, R6, SKB.gsoSegs)
    .jumpIf(to, '!=', 0, 'has segments')
    .move(to, 1)
    .label('has segments');
}

/** Takes off the TTL what the normal path did, and makes the checksum right (RFC 1624). Forgets R1 to R3. */
export function takeHops(program: FlowProgram, direction: ProofDirection, ip: number): void {
  program.loadField(R1, R8, ENTRY[`${direction}Hops`]).jumpIf(R1, '==', 0, 'no hop');
  program.loadField(R1, R7, IPV4.ttl, ip).subtract(R1, 1).storeField(R7, IPV4.ttl, R1, ip);
  program.loadField(R1, R7, IPV4.checksum, ip).add(R1, loaded16(0x0100));
  // The sum of two 16-bit numbers with the carry at its end; 0xffff becomes 0, as ip_decrease_ttl() has it.
  program.move(R2, R1).add(R2, 1).shiftRight(R2, 16).add(R1, R2).storeField(R7, IPV4.checksum, R1, ip);
  program.label('no hop');
}
