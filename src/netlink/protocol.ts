/**
 * What one protocol of netlink (NETLINK_ROUTE, NETLINK_GENERIC, NETLINK_NETFILTER) brings to the connection that
 * all of them share: its number, the meaning of its messages, its questions and its changes.
 */
import type { Writer } from '../base/bytes.ts';
import { NLMSG_DONE, NLMSG_ERROR } from './constants.ts';
import type { Message } from './message.ts';

export interface NetlinkProtocol {
  /** NETLINK_*, include/uapi/linux/netlink.h. */
  readonly number: number;
  /** `RTM_NEWROUTE` for 24; undefined for a type that it has no name for. */
  messageName(type: number): string | undefined;
  /** Reads a message to print it; undefined for a type that it does not read. @throws CodecError */
  decode(message: Message): DecodedMessage | undefined;
}

/** Types that every protocol has. */
const CONTROL_MESSAGES: ReadonlyMap<number, string> = new Map([
  [NLMSG_ERROR, 'NLMSG_ERROR'],
  [NLMSG_DONE, 'NLMSG_DONE'],
]);

/** `NLMSG_DONE`, `RTM_NEWROUTE`; the number itself for a type without a name. */
export function messageName(protocol: NetlinkProtocol, type: number): string {
  return CONTROL_MESSAGES.get(type) ?? protocol.messageName(type) ?? `type ${type}`;
}

/** A fixed struct and the attributes behind it. */
export interface DecodedMessage {
  readonly header: object;
  readonly attributes: object;
}

/** A question to the kernel. */
export interface Query {
  /** For errors: `list routes`. */
  readonly what: string;
  /** Type of the message: RTM_GETROUTE. */
  readonly type: number;
  readonly payload: Uint8Array;
  /** Codes of refusals that mean: there is nothing to list. */
  readonly emptyOn?: readonly string[];
}

/** One modification, not yet sent. Sent alone or many at a time by `NetlinkConnection.apply`. */
export interface Change {
  /** For reports: `replace route 10.3.2.0/24`. */
  readonly what: string;
  /** Type of the message: RTM_NEWROUTE. */
  readonly type: number;
  /** NLM_F_* besides REQUEST and ACK. */
  readonly flags: number;
  /** Writes the message after its netlink header. */
  write(writer: Writer): void;
}

/** Takes in a list while it is read, so that the whole of it is never in memory. */
export interface ListReader<T> {
  /** The list begins; again when it changed while it was read: what came before does not count. */
  begin(): void;
  each(item: T): void;
}
