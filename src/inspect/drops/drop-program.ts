/**
 * The program that the kernel runs for every packet that it drops (tracepoint `skb:kfree_skb`, include/trace/events/skb.h):
 * skips what nobody wants to see, counts the reason, and reports the packet. When no packet is dropped, it does not run.
 */
import { Assembler, type MapReference, type ProgramText } from '../../bpf/assembler.ts';
import type { Btf } from '../../bpf/btf.ts';
import { BpfError } from '../../bpf/errors.ts';
import { FP, R0, R1, R2, R3, R4, R6, R7, R8, R9 } from '../../bpf/instructions.ts';
import { DropReasons } from './drop-reasons.ts';

/** Room for IPv6, UDP, VXLAN, Ethernet, IPv6 and the ports of what is inside: 122 bytes. */
export const SNAPSHOT = 128;
const NAME_SIZE = 16;

/** What is reported of a packet: where each value is. */
export const EVENT = {
  time: 0,
  location: 8,
  reason: 16,
  netns: 20,
  link: 24,
  length: 28,
  /** Of the bytes below, as the kernel has it: big endian. */
  protocol: 32,
  networkHeader: 34,
  tail: 36,
  linkName: 40,
  packet: 40 + NAME_SIZE,
  size: 40 + NAME_SIZE + SNAPSHOT,
} as const;

/** Bytes from the start of a struct. */
export interface PacketLayout {
  readonly device: number;
  readonly socket: number;
  readonly head: number;
  readonly tail: number;
  readonly networkHeader: number;
  readonly protocol: number;
  readonly length: number;
  readonly inputLink: number;
  readonly linkIndex: number;
  readonly linkName: number;
  readonly linkNetns: number;
  readonly socketNetns: number;
  readonly netnsInode: number;
  /** The tracepoint has the receiving socket too (Linux 6.11). */
  readonly hasReceiver: boolean;
}

/** @throws BpfError UNSUPPORTED for a kernel that gives no reasons */
export function readDropTypes(types: Btf): { layout: PacketLayout; reasons: DropReasons } {
  // __data, skb, location, reason, rx_sk.
  const parameters = types.parameterCount('btf_trace_kfree_skb');
  if (parameters < 4)
    throw new BpfError(
      'UNSUPPORTED',
      'the kernel says no reason for a drop: Linux 5.17 is the first that does',
    );
  return {
    reasons: new DropReasons(types.enumNames('skb_drop_reason')),
    layout: {
      device: types.offsetOf('sk_buff', 'dev'),
      socket: types.offsetOf('sk_buff', 'sk'),
      head: types.offsetOf('sk_buff', 'head'),
      tail: types.offsetOf('sk_buff', 'tail'),
      networkHeader: types.offsetOf('sk_buff', 'network_header'),
      protocol: types.offsetOf('sk_buff', 'protocol'),
      length: types.offsetOf('sk_buff', 'len'),
      inputLink: types.offsetOf('sk_buff', 'skb_iif'),
      linkIndex: types.offsetOf('net_device', 'ifindex'),
      linkName: types.offsetOf('net_device', 'name'),
      linkNetns: types.offsetOf('net_device', 'nd_net', 'net'),
      socketNetns: types.offsetOf('sock', '__sk_common', 'skc_net', 'net'),
      netnsInode: types.offsetOf('net', 'ns', 'inum'),
      hasReceiver: parameters > 4,
    },
  };
}

export interface DropMaps {
  /** One of EVENT.size per packet. */
  readonly events: MapReference;
  /** Per-processor array of u64: by reason, those of subsystems at 0, and `reasons.size` for events without room. */
  readonly counts: MapReference;
  /** Hash with the inodes of the wanted namespaces as its keys; absent: all are. */
  readonly namespaces?: MapReference;
}

/** On the stack, from FP downwards. */
const AT = -EVENT.size;
const POINTER = AT - 8;
const KEY = AT - 16;

export function dropProgram(layout: PacketLayout, reasons: DropReasons, maps: DropMaps): ProgramText {
  const program = new Assembler();
  const to = (field: keyof typeof EVENT) => AT + EVENT[field];
  // Arguments: skb, location, reason, rx_sk.
  program.load(R9, R1, 16, 4);
  for (const reason of reasons.hidden) program.jumpIf(R9, '==', reason, 'end');
  program.move(R6, R1).load(R7, R6, 0, 8).load(R8, R6, 8, 8);
  program.zero(AT, EVENT.size).store(FP, to('location'), R8, 8).store(FP, to('reason'), R9, 4);
  program.readKernel(to('protocol'), 2, R7, layout.protocol);
  if (reasons.unnamed !== undefined) {
    program.jumpIf(R9, '!=', reasons.unnamed, 'named');
    program.load(R1, FP, to('protocol'), 2).jumpIf(R1, '==', 0, 'end').label('named');
  }
  readNamespace(program, layout);
  if (maps.namespaces !== undefined) {
    program.loadMap(R1, maps.namespaces).move(R2, FP).add(R2, to('netns'));
    program.call('map_lookup_elem').jumpIf(R0, '==', 0, 'end');
  }
  program
    .jumpIf(R9, '<=', reasons.size - 1, 'known')
    .move(R9, 0)
    .label('known');
  count(program, maps.counts, 'counted');

  program.call('ktime_get_ns').store(FP, to('time'), R0, 8);
  program.readKernel(to('length'), 4, R7, layout.length);
  program.readKernel(to('networkHeader'), 2, R7, layout.networkHeader);
  program.readKernel(to('tail'), 4, R7, layout.tail);
  program.readKernel(POINTER, 8, R7, layout.head);
  program.load(R8, FP, POINTER, 8).load(R1, FP, to('networkHeader'), 2).add(R8, R1);
  program.readKernel(to('packet'), SNAPSHOT, R8, 0);
  program.loadMap(R1, maps.events).move(R2, FP).add(R2, AT).move(R3, EVENT.size).move(R4, 0);
  program.call('ringbuf_output').jumpIf(R0, '==', 0, 'end').move(R9, reasons.size);
  count(program, maps.counts, 'end');
  return program.label('end').move(R0, 0).exit().finish();
}

/** From the packet's link, or else from its socket. What is left in the place of a link that is gone is no address. */
function readNamespace(program: Assembler, layout: PacketLayout): void {
  const [link, name, netns] = [AT + EVENT.link, AT + EVENT.linkName, AT + EVENT.netns];
  const follow = () => program.load(R8, FP, POINTER, 8);
  program.readKernel(POINTER, 8, R7, layout.device);
  follow().jumpIf(R8, '==', 0, 'no link');
  program.readKernel(POINTER, 8, R8, layout.linkNetns);
  program.load(R1, FP, POINTER, 8).jumpIf(R1, '==', 0, 'no link');
  program.readKernel(link, 4, R8, layout.linkIndex).readKernel(name, NAME_SIZE, R8, layout.linkName);
  program.jump('namespace').label('no link');
  program.readKernel(link, 4, R7, layout.inputLink);
  if (layout.hasReceiver) program.load(R8, R6, 24, 8).jumpIf(R8, '!=', 0, 'socket');
  program.readKernel(POINTER, 8, R7, layout.socket);
  follow().jumpIf(R8, '==', 0, 'no namespace').label('socket');
  program.readKernel(POINTER, 8, R8, layout.socketNetns).label('namespace');
  follow().jumpIf(R8, '==', 0, 'no namespace');
  program.readKernel(netns, 4, R8, layout.netnsInode).label('no namespace');
}

/** Adds one to the count of R9 on this processor. */
function count(program: Assembler, counts: MapReference, after: string): void {
  program.store(FP, KEY, R9, 4).loadMap(R1, counts).move(R2, FP).add(R2, KEY).call('map_lookup_elem');
  program.jumpIf(R0, '==', 0, after).load(R1, R0, 0, 8).add(R1, 1).store(R0, 0, R1, 8);
  if (after !== 'end') program.label(after);
}
