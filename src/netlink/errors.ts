/** The kernel answered no. Its own words (extended ack, NLMSGERR_ATTR_MSG) are part of the message. */
import { TulleError } from '../base/errors.ts';
import { describeErrno } from '../sys/errors.ts';

export interface ExtendedAck {
  /** The kernel's sentence: `Nexthop has invalid gateway`. */
  readonly message?: string;
  /** Byte offset of the offending attribute within the request. */
  readonly offset?: number;
  /** Type of an attribute that is missing (NLMSGERR_ATTR_MISS_TYPE). */
  readonly missingType?: number;
}

const EINTR = 4;

/** The kernel refused a request; the message has its error text if there is one. */
export class NetlinkError extends TulleError {
  /** Positive errno. */
  readonly errno: number;
  readonly extendedAck: ExtendedAck;

  /** @param what the request in words: `replace route 10.3.2.0/24`. */
  constructor(
    op: string,
    what: string,
    errno: number,
    extendedAck: ExtendedAck = {},
    code = describeErrno(errno).code,
  ) {
    const { text } = describeErrno(errno);
    const words = extendedAck.message === undefined ? text : `${extendedAck.message} [${text}]`;
    super(code, `${what}: ${words} (${code})`, { op, context: { what } });
    this.errno = errno;
    this.extendedAck = extendedAck;
  }

  /** A table changed during every one of several attempts to read it. */
  static interrupted(op: string, what: string, tries: number): NetlinkError {
    const message = `changed during each of ${tries} reads`;
    return new NetlinkError(op, what, EINTR, { message }, 'DUMP_INTERRUPTED');
  }
}
