/**
 * A transaction of nftables: all changes or none (net/netfilter/nfnetlink.c).
 *
 *     batch begin | change | ... | last change, asks for an answer | batch end
 *
 * The kernel handles it inside the `send` call. The end of a batch is answered by new kernels only, so the last change
 * is what asks. A refused change is answered in any case, and no change is made then.
 */
import { Writer } from '../../base/bytes.ts';
import { CodecError, isCode } from '../../base/errors.ts';
import { decodeAcknowledgement } from '../acknowledgement.ts';
import {
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
} from '../constants.ts';
import { NetlinkError } from '../errors.ts';
import { type Message, readMessages, writeMessage } from '../message.ts';
import { type Change, messageName } from '../protocol.ts';
import { type NetlinkTransport, RECEIVE_SIZE } from '../transport.ts';
import { NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END } from './constants.ts';
import { NETFILTER_PROTOCOL } from './protocol.ts';
import { batchBoundary } from './table.ts';

/** All changes or none. @throws NetlinkError of the first change that is refused; SysError */
export function commit(transport: NetlinkTransport, changes: readonly Change[]): void {
  const batch = [batchBoundary(NFNL_MSG_BATCH_BEGIN), ...changes, batchBoundary(NFNL_MSG_BATCH_END)];
  exchange(transport, batch, sequence => sequence === changes.length);
}

/** Changes of another subsystem, one after the other. @throws NetlinkError of the first that is refused; SysError */
export function applyInOrder(transport: NetlinkTransport, changes: readonly Change[]): void {
  exchange(transport, changes, () => true);
}

/**
 * Everything that the kernel lists for a question, message by message.
 *
 * @throws NetlinkError when it refuses, with code EINTR when the list changed while it was read; SysError
 */
export function listAll(transport: NetlinkTransport, question: Change): Message[] {
  const writer = new Writer(256);
  const { type, what } = question;
  writeMessage(writer, { type, flags: NLM_F_REQUEST | NLM_F_DUMP, sequence: 1, payload: question });
  transport.send(writer.finish());
  const messages = receiveAll(transport).filter(({ sequence }) => sequence === 1);
  for (const message of messages) {
    if (message.type !== NLMSG_ERROR && message.type !== NLMSG_DONE) continue;
    const { errno, extendedAck } = decodeAcknowledgement(message);
    if (errno !== 0) throw new NetlinkError(messageName(NETFILTER_PROTOCOL, type), what, errno, extendedAck);
  }
  if (messages.some(({ flags }) => (flags & NLM_F_DUMP_INTR) !== 0))
    throw NetlinkError.interrupted(messageName(NETFILTER_PROTOCOL, type), what, 1);
  return messages.filter(message => message.type !== NLMSG_DONE);
}

function exchange(
  transport: NetlinkTransport,
  changes: readonly Change[],
  asks: (sequence: number) => boolean,
): void {
  const writer = new Writer(1024);
  for (const [sequence, change] of changes.entries()) {
    const flags = change.flags | NLM_F_REQUEST | (asks(sequence) ? NLM_F_ACK : 0);
    writeMessage(writer, { type: change.type, flags, sequence, payload: change });
  }
  transport.send(writer.finish());
  const answers = receiveAll(transport).filter(({ type }) => type === NLMSG_ERROR);
  for (const answer of answers) {
    const { errno, extendedAck } = decodeAcknowledgement(answer);
    const { type, what } = changes[answer.sequence] ?? batchBoundary(NFNL_MSG_BATCH_BEGIN);
    if (errno !== 0) throw new NetlinkError(messageName(NETFILTER_PROTOCOL, type), what, errno, extendedAck);
  }
  if (answers.length === 0) throw new CodecError('netfilter request', 0, 'an answer', 'none');
}

/** Everything that waits to be read: after `send` the answers are among it. */
export function receiveAll(transport: NetlinkTransport): Message[] {
  const messages: Message[] = [];
  for (;;) {
    const buffer = new Uint8Array(RECEIVE_SIZE);
    const length = receiveWhole(transport, buffer);
    if (length === undefined) return messages;
    messages.push(...readMessages(buffer.subarray(0, length)));
  }
}

/** What the kernel had to drop is not asked for again: a log has more than one needs. */
function receiveWhole(transport: NetlinkTransport, buffer: Uint8Array): number | undefined {
  for (;;) {
    try {
      return transport.receive(buffer);
    } catch (error) {
      if (!isCode(error, 'ENOBUFS')) throw error;
    }
  }
}
