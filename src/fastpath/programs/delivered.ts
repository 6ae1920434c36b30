/** `delivered`, at the egress of a container's host end: what the normal path brings to the container proves its flow. */
import type { ProgramText } from '../../bpf/assembler.ts';
import { R1, R2, R6, R7, R8 } from '../../bpf/instructions.ts';
import { type FlowMaps, FlowProgram } from './flow-program.ts';
import { ETHERNET, IPV4_SIZE, PLAIN, SKB, UDP_SIZE } from './headers.ts';
import { ETHERNET_SIZE, FLOW_LAYOUT } from './layout.ts';
import { confirm, wantPending } from './proof.ts';

const ENTRY = FLOW_LAYOUT.at;

export function deliveredProgram(maps: FlowMaps, vni: number): ProgramText {
  const program = new FlowProgram(maps);
  const { ip } = PLAIN;
  program.begin().loadField(R1, R6, SKB.vlanPresent).jumpIf(R1, '!=', 0, 'next');
  program.frame(ip + IPV4_SIZE + UDP_SIZE, 'next').wantWholePacket(ip);
  program.key(ip, 'to container', vni).findFlow('next');
  // A bridge floods what it knows no port for: only the interface that the container sends by is its own.
  program.loadField(R1, R6, SKB.ifindex).loadField(R2, R8, ENTRY.hostEnd).jumpIf(R1, '!=', R2, 'next');
  wantReceiver(program);
  wantHeader(program);
  wantPending(program, 'delivered', ip);
  confirm(program, 'delivered', ip);
  return program.jump('next').ends().finish();
}

/**
 * To the address that the container sends from: a bridge floods others too, and the container lets them go, which
 * `redirect_peer` would not. Forgets R1, R2.
 */
function wantReceiver(program: FlowProgram): void {
  const { sender } = ENTRY;
  for (const [at, width] of [
    [0, 4],
    [4, 2],
  ] as const)
    program
      .load(R1, R7, ETHERNET.destination.offset + at, width)
      .load(R2, R8, sender.offset + at, width)
      .jumpIf(R1, '!=', R2, 'next');
}

/** Another Ethernet header than before begins the proof anew: `receive` must not take half of it. Forgets R1, R2. */
function wantHeader(program: FlowProgram): void {
  const header = ENTRY.delivered.offset;
  for (const [at, width] of [
    [0, 8],
    [8, 4],
    [12, 2],
  ] as const)
    program
      .load(R1, R7, at, width)
      .load(R2, R8, header + at, width)
      .jumpIf(R1, '!=', R2, 'other header');
  program.jump('same header').label('other header');
  program.storeField(R8, ENTRY.deliveredSeen, 0).storeField(R8, ENTRY.deliveredUntil, 0);
  program.copy([R7, 0], [R8, header], ETHERNET_SIZE, R1).label('same header');
}
