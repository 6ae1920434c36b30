/**
 * How a flow is proven: a program before the normal path notes a packet's TTL and DSCP in the entry (pending), and one
 * behind it finds the same packet by the same addresses and ports. So nobody has translated or mangled it, nor dropped it;
 * what the normal path does besides (mark, addresses of links, hops) is read from what came out of it.
 *
 * A proof holds for LIFETIME: whatever somebody changes on this host, in whatever tool, stops a flow within that time.
 */
import { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9 } from '../../bpf/instructions.ts';
import type { FlowProgram } from './flow-program.ts';
import { DSCP, IPV4, SKB } from './headers.ts';
import { FLOW_LAYOUT, WANTED_SEEN } from './layout.ts';

/** Nanoseconds. */
export const PROOF_LIFETIME = 500_000_000;

const ENTRY = FLOW_LAYOUT.at;
export type ProofDirection = 'sent' | 'delivered';
const BOTH = ['sent', 'delivered'] as const;

/**
 * Notes the packet in R7 in the entry in R8, which begins anew where it is of another generation: what was proven before
 * was proven by other rules. Keeps R6 to R9.
 */
export function pend(program: FlowProgram, direction: ProofDirection, ip: number): void {
  program.generations().jumpIf(R1, '==', R2, 'of this generation');
  forgetProofs(program);
  // Last: a program on another processor must not take what is above for of this generation.
  program.storeField(R8, ENTRY.generation, R1).label('of this generation');
  program.loadField(R1, R7, IPV4.tos, ip).and(R1, DSCP).storeField(R8, ENTRY[`${direction}PendingTos`], R1);
  program.loadField(R1, R7, IPV4.ttl, ip).storeField(R8, ENTRY[`${direction}PendingTtl`], R1);
}

/** Nothing of the entry in R8 is proven any more. */
export function forgetProofs(program: FlowProgram): void {
  for (const direction of BOTH) {
    program.storeField(R8, ENTRY[`${direction}PendingTtl`], 0).storeField(R8, ENTRY[`${direction}Until`], 0);
    program.storeField(R8, ENTRY[`${direction}Seen`], 0).storeField(R8, ENTRY[`${direction}Longest`], 0);
  }
}

/**
 * Goes on where the packet in R7 is the pending one of the entry in R8, else jumps to `next`. Forgets R1 to R4, keeps the
 * pending TTL in R2, the DSCP in R3 and the hops in R4.
 */
export function wantPending(program: FlowProgram, direction: ProofDirection, ip: number): void {
  program.generations().jumpIf(R1, '!=', R2, 'next');
  // At the uplink it may choose a queue; to the container the kernel does not hand it over, and our own rules set one.
  if (direction === 'sent') program.loadField(R1, R6, SKB.mark).jumpIf(R1, '!=', 0, 'next');
  program.loadField(R4, R8, ENTRY[`${direction}PendingTtl`]).jumpIf(R4, '==', 0, 'next').move(R2, R4);
  program.loadField(R3, R7, IPV4.tos, ip).and(R3, DSCP);
  program.loadField(R1, R8, ENTRY[`${direction}PendingTos`]).jumpIf(R1, '!=', R3, 'next');
  program.loadField(R1, R7, IPV4.ttl, ip).subtract(R4, R1).jumpIf(R4, '>', 1, 'next');
}

/**
 * Takes the packet in R7 for a proof. Wants what `wantPending` leaves in R2 to R4; forgets R0 to R5; R9 becomes the time.
 *
 * Longer packets than the one that begins a new time must prove themselves again: a path whose MTU has become less would
 * otherwise swallow long packets while short ones prove that it is fine.
 */
export function confirm(program: FlowProgram, direction: ProofDirection, ip: number): void {
  const [until, longest, seen] = [
    ENTRY[`${direction}Until`],
    ENTRY[`${direction}Longest`],
    ENTRY[`${direction}Seen`],
  ];
  program.storeField(R8, ENTRY[`${direction}PendingTtl`], 0);
  program.storeField(R8, ENTRY[`${direction}Ttl`], R2).storeField(R8, ENTRY[`${direction}Dscp`], R3);
  program.storeField(R8, ENTRY[`${direction}Hops`], R4);
  program.segmentLength(ip).move(R7, R5).call('ktime_get_coarse_ns').move(R9, R0);
  program.loadField(R1, R8, until).jumpIf(R9, '<=', R1, 'still proven');
  program
    .storeField(R8, longest, R7)
    .add(R0, PROOF_LIFETIME)
    .storeField(R8, until, R0)
    .jump('longest is known');
  program.label('still proven').loadField(R1, R8, longest).jumpIf(R7, '<=', R1, 'longest is known');
  program.storeField(R8, longest, R7).label('longest is known');
  program.loadField(R2, R8, seen).jumpIf(R2, '>=', WANTED_SEEN, 'seen often enough');
  program.add(R2, 1).storeField(R8, seen, R2).label('seen often enough');
}
