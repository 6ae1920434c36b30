/**
 * Queues of links and the filters in front of them: struct tcmsg, include/uapi/linux/rtnetlink.h. Lists only; what a queue
 * or a filter of each kind says of itself is in its `options`, read by traffic-filter.ts and traffic-queue.ts.
 *
 *      0      1              4               8               12              16              20
 *     +------+--------------+---------------+---------------+---------------+---------------+
 *     |family| 0            | ifindex       | handle        | parent        | info          |
 *     +------+--------------+---------------+---------------+---------------+---------------+
 */
import { HOST_IS_LITTLE } from '../../base/bytes.ts';
import { defined } from '../../base/defined.ts';
import { attributes, one } from '../attribute.ts';
import { bytes, nested, nestedBytes, text, u32 } from '../attribute-types.ts';
import { MessageCodec, type Struct } from '../message.ts';
import {
  TCA_CHAIN,
  TCA_KIND,
  TCA_OPTIONS,
  TCA_STATS_BASIC,
  TCA_STATS_QUEUE,
  TCA_STATS2,
  TCM_IFINDEX_MAGIC_BLOCK,
} from './traffic-constants.ts';

export interface TrafficHeader {
  readonly index: number;
  readonly handle: number;
  readonly parent: number;
  readonly info: number;
}

export const tcmsg: Struct<TrafficHeader> = {
  encode: (writer, { index, handle, parent, info }) =>
    writer.u32(0).u32(index).u32(handle).u32(parent).u32(info),
  decode(reader) {
    reader.skip(4);
    return { index: reader.u32(), handle: reader.u32(), parent: reader.u32(), info: reader.u32() };
  },
};

export const trafficMessage = new MessageCodec(
  'tcmsg',
  tcmsg,
  attributes({
    kind: one(TCA_KIND, text),
    options: one(TCA_OPTIONS, nestedBytes),
    chain: one(TCA_CHAIN, u32),
    statistics: one(
      TCA_STATS2,
      nested(attributes({ basic: one(TCA_STATS_BASIC, bytes), queue: one(TCA_STATS_QUEUE, bytes) })),
    ),
  }),
);

/** A queue of a link (`tc qdisc`). */
export interface Qdisc {
  /** Of the link. */
  readonly index: number;
  /** `fq_codel`, `clsact`. */
  readonly kind: string;
  /** Major number in the upper half: 0x80010000 is `8001:`. */
  readonly handle: number;
  /** TC_H_ROOT for the one that a link sends through. */
  readonly parent: number;
  readonly options?: Uint8Array;
  /** Packets that it has dropped. */
  readonly drops?: number;
}

/** A filter of packets of a link (`tc filter`). */
export interface TrafficFilter {
  readonly index: number;
  /** `flower`, `u32`, `matchall`, `bpf`. */
  readonly kind: string;
  readonly handle: number;
  readonly parent: number;
  /** The lower comes first. */
  readonly priority: number;
  /** ETH_P_* of the packets that it looks at; ETH_P_ALL for any. */
  readonly protocol: number;
  readonly chain?: number;
  readonly options?: Uint8Array;
}

/** Those of all links. */
export const encodeQdiscQuery = (): Uint8Array =>
  trafficMessage.encode({ index: 0, handle: 0, parent: 0, info: 0 }, {});

/** @param parent handle of the queue, or TC_H_CLSACT with the way of the packets. */
export const encodeFilterQuery = (index: number, parent: number): Uint8Array =>
  trafficMessage.encode({ index, handle: 0, parent, info: 0 }, {});

/** undefined without a kind. @throws CodecError */
export function decodeQdisc(payload: Uint8Array): Qdisc | undefined {
  const { header, attributes: found } = trafficMessage.decode(payload);
  const { kind, options, statistics } = found;
  if (kind === undefined) return undefined;
  const { index, handle, parent } = header;
  return defined({ index, kind, handle, parent, options, drops: dropsOf(statistics?.queue) });
}

/** undefined for the head of a list, which has no filter. @throws CodecError */
export function decodeFilter(payload: Uint8Array): TrafficFilter | undefined {
  const { header, attributes: found } = trafficMessage.decode(payload);
  const { kind, options, chain } = found;
  if (kind === undefined || options === undefined) return undefined;
  const { index, handle, parent, info } = header;
  const protocol = ((info & 0xff) << 8) | ((info >>> 8) & 0xff);
  return defined({ index, kind, handle, parent, priority: info >>> 16, protocol, chain, options });
}

/** Of which link queues or filters have changed; none for filters that several links share (TCM_IFINDEX_MAGIC_BLOCK). */
export function decodeTrafficChange(payload: Uint8Array): { readonly index?: number } {
  const { index } = trafficMessage.decode(payload).header;
  return index === TCM_IFINDEX_MAGIC_BLOCK ? {} : { index };
}

/** struct gnet_stats_queue: qlen, backlog, drops, requeues, overlimits; include/uapi/linux/gen_stats.h. */
function dropsOf(queue: Uint8Array | undefined): number | undefined {
  if (queue === undefined || queue.byteLength < 12) return undefined;
  return new DataView(queue.buffer, queue.byteOffset).getUint32(8, HOST_IS_LITTLE);
}
