/**
 * Filters of `clsact` that run a BPF program for each packet (net/sched/cls_bpf.c), as kernels before 6.6 have it at a
 * link: what the program returns is what becomes of the packet ("direct action").
 */
import type { Writer } from '../../base/bytes.ts';
import { attributes, one } from '../attribute.ts';
import { bytes, nested, text, u32 } from '../attribute-types.ts';
import { MessageCodec } from '../message.ts';
import {
  CLSACT_HANDLE,
  ETH_P_ALL,
  TC_H_CLSACT,
  TCA_BPF_FD,
  TCA_BPF_FLAG_ACT_DIRECT,
  TCA_BPF_FLAGS,
  TCA_BPF_ID,
  TCA_BPF_NAME,
  TCA_BPF_TAG,
  TCA_KIND,
  TCA_OPTIONS,
} from './traffic-constants.ts';
import { type TrafficFilter, type TrafficHeader, tcmsg, trafficMessage } from './traffic-control.ts';

/** What tells a filter from the others of a link. */
export interface FilterKey {
  /** Of the link. */
  readonly index: number;
  /** TC_H_CLSACT_INGRESS or TC_H_CLSACT_EGRESS. */
  readonly parent: number;
  /** The lower comes first; 1 to 65535. */
  readonly priority: number;
  /** Among those of its priority; never 0, which means all. */
  readonly handle: number;
}

export interface NewProgramFilter extends FilterKey {
  /** Descriptor. */
  readonly program: number;
  /** For people who look with tc. */
  readonly name: string;
}

/** The program of a filter. */
export interface ProgramOfFilter {
  readonly id: number;
  readonly name: string;
}

const options = attributes({
  program: one(TCA_BPF_FD, u32),
  name: one(TCA_BPF_NAME, text),
  flags: one(TCA_BPF_FLAGS, u32),
  tag: one(TCA_BPF_TAG, bytes),
  id: one(TCA_BPF_ID, u32),
});

const programFilterMessage = new MessageCodec(
  'tcmsg',
  tcmsg,
  attributes({ kind: one(TCA_KIND, text), options: one(TCA_OPTIONS, nested(options)) }),
);

export function writeClsact(writer: Writer, index: number): void {
  const header = { index, handle: CLSACT_HANDLE, parent: TC_H_CLSACT, info: 0 };
  trafficMessage.write(writer, header, { kind: 'clsact' });
}

/** A filter of the kind `bpf` for packets of any protocol. */
export function writeProgramFilter(writer: Writer, { program, name, ...key }: NewProgramFilter): void {
  programFilterMessage.write(writer, headerOf(key), {
    kind: 'bpf',
    options: { program, name, flags: TCA_BPF_FLAG_ACT_DIRECT },
  });
}

/** The same filter, to delete it. */
export function writeFilterKey(writer: Writer, key: FilterKey): void {
  trafficMessage.write(writer, headerOf(key), { kind: 'bpf' });
}

/** undefined for a filter of another kind, and for one of the classic packet filter. @throws CodecError */
export function programOf({ kind, options: payload }: TrafficFilter): ProgramOfFilter | undefined {
  if (kind !== 'bpf' || payload === undefined) return undefined;
  const { id, name = '' } = options.fromBytes(payload, 'options of a filter');
  return id === undefined ? undefined : { id, name };
}

/** Priority and protocol, which is in the network's byte order, share a word. @throws RangeError for a handle of 0 */
function headerOf({ index, parent, priority, handle }: FilterKey): TrafficHeader {
  if (handle === 0) throw new RangeError('a filter without a handle is every filter of its priority');
  const protocol = ((ETH_P_ALL & 0xff) << 8) | (ETH_P_ALL >>> 8);
  return { index, handle, parent, info: ((priority << 16) | protocol) >>> 0 };
}
