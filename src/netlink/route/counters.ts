/** The counters of a link: struct rtnl_link_stats64 in IFLA_STATS64, include/uapi/linux/if_link.h. */
import type { AttributeType } from '../attribute.ts';
import { attributes, one } from '../attribute.ts';
import { MessageCodec } from '../message.ts';
import { IFLA_STATS64 } from './constants.ts';
import { ANY_LINK, linkHeader } from './link-message.ts';

/** Since the link was made. */
export interface LinkCounters {
  readonly receivedPackets: number;
  readonly sentPackets: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly receiveErrors: number;
  readonly sendErrors: number;
  readonly receiveDrops: number;
  readonly sendDrops: number;
}

const counters: AttributeType<LinkCounters> = {
  encode: (writer, found) => {
    for (const value of Object.values(found)) writer.u64(BigInt(value as number));
  },
  // Later kernels have more of them behind these.
  decode(reader, length) {
    if (length < 64) return undefined;
    const next = () => Number(reader.u64());
    return {
      receivedPackets: next(),
      sentPackets: next(),
      receivedBytes: next(),
      sentBytes: next(),
      receiveErrors: next(),
      sendErrors: next(),
      receiveDrops: next(),
      sendDrops: next(),
    };
  },
};

const message = new MessageCodec(
  'ifinfomsg',
  linkHeader,
  attributes({ counters: one(IFLA_STATS64, counters) }),
);

export const encodeCountersQuery = (index: number): Uint8Array => message.encode({ ...ANY_LINK, index }, {});

/** undefined when the kernel gave none. @throws CodecError */
export const decodeCounters = (payload: Uint8Array): LinkCounters | undefined =>
  message.decode(payload).attributes.counters;
