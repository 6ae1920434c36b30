/**
 * The kernel's yes or no: struct nlmsgerr, include/uapi/linux/netlink.h.
 *
 *      0               4                               20
 *     +---------------+-------------------------------+----------- - -
 *     | -errno or 0   | header of the request         | attributes: the kernel's own words
 *     +---------------+-------------------------------+----------- - -
 *
 * The end of a dump (NLMSG_DONE) is the same without the copied header.
 */
import { Reader } from '../base/bytes.ts';
import { defined } from '../base/defined.ts';
import { attributes, one } from './attribute.ts';
import { text, u32 } from './attribute-types.ts';
import {
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLMSG_ERROR,
  NLMSGERR_ATTR_MISS_TYPE,
  NLMSGERR_ATTR_MSG,
  NLMSGERR_ATTR_OFFS,
} from './constants.ts';
import type { ExtendedAck } from './errors.ts';
import { HEADER_SIZE, type Message } from './message.ts';

const ackAttributes = attributes({
  message: one(NLMSGERR_ATTR_MSG, text),
  offset: one(NLMSGERR_ATTR_OFFS, u32),
  missingType: one(NLMSGERR_ATTR_MISS_TYPE, u32),
});

export interface Acknowledgement {
  /** Positive; 0 for yes. */
  readonly errno: number;
  readonly extendedAck: ExtendedAck;
}

/** Of an NLMSG_ERROR or NLMSG_DONE message. @throws CodecError */
export function decodeAcknowledgement({ type, flags, payload }: Message): Acknowledgement {
  const reader = new Reader(payload, 'netlink acknowledgement');
  // Old kernels end a dump with an empty message.
  const errno = reader.remaining === 0 ? 0 : -reader.i32();
  if (type === NLMSG_ERROR) {
    const length = reader.u32();
    // Unless capped, the whole refused request comes back.
    reader.skip((flags & NLM_F_CAPPED ? HEADER_SIZE : align(Math.max(length, HEADER_SIZE))) - 4);
  }
  if ((flags & NLM_F_ACK_TLVS) === 0) return { errno, extendedAck: {} };
  const { message, offset, missingType } = ackAttributes.decode(reader, payload.byteLength);
  return { errno, extendedAck: defined({ message, offset, missingType }) };
}

function align(length: number): number {
  return (length + 3) & ~3;
}
