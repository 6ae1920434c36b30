/**
 * `sent`, at the egress of an uplink: packets of tunnels as the kernel has made them. They begin the entries of flows, with
 * their headers as the template, and prove what containers send. The fast path's own packets come by too, and are no proof.
 */
import type { ProgramText } from '../../bpf/assembler.ts';
import { FP, R0, R1, R2, R3, R4, R6, R7, R8 } from '../../bpf/instructions.ts';
import { askForClearance } from './clear.ts';
import { type FlowMaps, FlowProgram, FREE_STACK, KEY, NEXT } from './flow-program.ts';
import { DSCP, IPV4, IPV4_SIZE, SKB, TRANSPORT, TUNNEL, UDP_HEADER, UDP_SIZE, VXLAN } from './headers.ts';
import { CONFIG_LAYOUT, FLOW_KEY, FLOW_LAYOUT, TEMPLATE_SIZE } from './layout.ts';
import { confirm, wantPending } from './proof.ts';
import { FAST_MARK } from './transmit.ts';
import { wantTunnel, wantVxlan } from './tunnel-packet.ts';

const ENTRY = FLOW_LAYOUT.at;
/** BPF_NOEXIST: the entry of another processor stays. */
const UNLESS_THERE = 1;

/** On the stack, from FP. */
const VALUE = FREE_STACK - FLOW_LAYOUT.size;
const TEMPLATE = VALUE + ENTRY.template.offset;
const TUNNEL_KEY = VALUE - 8;

export function sentProgram(maps: FlowMaps): ProgramText {
  const program = new FlowProgram(maps);
  const { vxlan, ip } = TUNNEL;
  program.move(R6, R1).loadField(R1, R6, SKB.mark).jumpIf(R1, '==', FAST_MARK, 'took the fast path');
  program.move(R1, R6).begin();
  program.loadField(R1, R6, SKB.vlanPresent).jumpIf(R1, '!=', 0, 'next');
  program.frame(ip + IPV4_SIZE + UDP_SIZE, 'next');
  wantTunnel(program, 'of a tunnel');
  wantVxlan(program);
  program.wantWholePacket(ip).key(ip, 'from container', { vxlan });
  // A connection that begins or ends has no entry; `transmit` has seen to that.
  program.endOfConnection(ip, 'count').frame(ip + IPV4_SIZE + UDP_SIZE, 'next');
  program.findFlow('no entry');
  // Most packets of flows that take the normal path prove nothing: no word more about those.
  program.loadField(R1, R8, ENTRY.sentPendingTtl).jumpIf(R1, '==', 0, 'next');
  makeTemplate(program);
  wantSameTemplate(program);
  wantPending(program, 'sent', ip);
  program.loadField(R1, R6, SKB.priority).storeField(R8, ENTRY.priority, R1);
  confirm(program, 'sent', ip);
  askForClearance(program);
  program.jump('next');

  program.label('other template').deleteFrom('flows').because('template changed').jump('create');
  program.label('no entry').because('no flow');
  makeTemplate(program);
  program.label('create');
  createEntry(program);
  program.jump('count').ends();
  return program.label('took the fast path').storeField(R6, SKB.mark, 0).move(R0, NEXT).exit().finish();
}

/** On the stack: the headers of the packet, without what each packet has of its own. Forgets R1, R4. */
function makeTemplate(program: FlowProgram): void {
  const [outerIp, udp] = [TEMPLATE + TUNNEL.outerIp, TEMPLATE + TUNNEL.udp];
  program.copy([R7, 0], [FP, TEMPLATE], TEMPLATE_SIZE, R1);
  for (const field of [IPV4.totalLength, IPV4.id, IPV4.checksum]) program.storeField(FP, field, 0, outerIp);
  for (const field of [UDP_HEADER.length, UDP_HEADER.checksum]) program.storeField(FP, field, 0, udp);
  program.loadField(R1, FP, IPV4.tos, outerIp).and(R1, DSCP).storeField(FP, IPV4.tos, R1, outerIp);
  program.move(R4, 0);
  for (let at = 0; at < IPV4_SIZE; at += 2) program.load(R1, FP, outerIp + at, 2).add(R4, R1);
  for (let carry = 0; carry < 2; carry++) program.move(R1, R4).shiftRight(R1, 16).and(R4, 0xffff).add(R4, R1);
  program.storeField(FP, IPV4.checksum, R4, outerIp);
}

/**
 * The headers are those of the entry, but for the source port: senders change it in the middle of a flow (a socket whose
 * packets are lost tries another way through the underlay), and 16 bits are written in one piece. Forgets R1, R2.
 */
function wantSameTemplate(program: FlowProgram): void {
  const [source, template] = [TUNNEL.udp + UDP_HEADER.source.offset, ENTRY.template.offset];
  program
    .loadField(R1, R6, SKB.ifindex)
    .loadField(R2, R8, ENTRY.uplink)
    .jumpIf(R1, '!=', R2, 'other template');
  program.load(R1, FP, TEMPLATE + source, 2).load(R2, R8, template + source, 2);
  program
    .jumpIf(R1, '==', R2, 'same source port')
    .store(R8, template + source, R1, 2)
    .label('same source port');
  for (let at = 0; at < TEMPLATE_SIZE; at += 8)
    program
      .load(R1, FP, TEMPLATE + at, 8)
      .load(R2, R8, template + at, 8)
      .jumpIf(R1, '!=', R2, 'other template');
}

/** An entry of KEY that nothing is proven of, if the tunnel is one of ours. Keeps R6 to R9. */
function createEntry(program: FlowProgram): void {
  const { vxlan, udp } = TUNNEL;
  program
    .loadField(R1, R7, UDP_HEADER.destination, udp)
    .store(FP, TUNNEL_KEY, R1, 2)
    .store(FP, TUNNEL_KEY + 2, 0, 2);
  program.loadField(R1, R7, VXLAN.vniAndZero, vxlan).store(FP, TUNNEL_KEY + 4, R1, 4);
  program.loadMap(R1, program.maps.tunnels).move(R2, FP).add(R2, TUNNEL_KEY);
  program.call('map_lookup_elem').jumpIf(R0, '==', 0, 'next');

  const end = ENTRY.template.offset + TEMPLATE_SIZE;
  program.zero(VALUE, ENTRY.template.offset).zero(VALUE + end, FLOW_LAYOUT.size - end);
  program.copyKey(VALUE + ENTRY.identity.offset, R1);
  program.loadMapValue(R1, program.maps.config, CONFIG_LAYOUT.at.generation.offset).load(R1, R1, 0, 8);
  program.storeField(FP, ENTRY.generation, R1, VALUE);
  program.loadField(R1, R6, SKB.ifindex).storeField(FP, ENTRY.uplink, R1, VALUE);
  program.loadField(R1, FP, FLOW_KEY.at.protocol, KEY).jumpIf(R1, '==', TRANSPORT.tcp, 'wants to be cleared');
  program.storeField(FP, ENTRY.cleared, 1, VALUE).label('wants to be cleared');
  program.loadMap(R1, program.maps.flows).addressOfKey(R2).move(R3, FP).add(R3, VALUE).move(R4, UNLESS_THERE);
  program.call('map_update_elem');
}
