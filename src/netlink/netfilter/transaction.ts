/**
 * A transaction of nftables: all changes or none (net/netfilter/nfnetlink.c).
 *
 *     batch begin | change | ... | last change, asks for an answer | batch end
 *
 * The kernel handles it inside the `send` call. The end of a batch is answered by new kernels only, so the last change
 * is what asks. A refused change is answered in any case, and no change is made then.
 */
import { Writer } from '../../base/bytes.ts';
import { CodecError } from '../../base/errors.ts';
import { decodeAcknowledgement } from '../acknowledgement.ts';
import { NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR } from '../constants.ts';
import { NetlinkError } from '../errors.ts';
import { type Message, readMessages, writeMessage } from '../message.ts';
import { type Change, messageName } from '../protocol.ts';
import { type NetlinkTransport, RECEIVE_SIZE } from '../transport.ts';
import { NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END } from './constants.ts';
import { NETFILTER_PROTOCOL } from './protocol.ts';
import { batchBoundary } from './table.ts';

/** @throws NetlinkError of the first change that is refused; SysError */
export function commit(transport: NetlinkTransport, changes: readonly Change[]): void {
  const batch = [batchBoundary(NFNL_MSG_BATCH_BEGIN), ...changes, batchBoundary(NFNL_MSG_BATCH_END)];
  const writer = new Writer(1024);
  for (const [sequence, change] of batch.entries()) {
    const isLast = sequence === changes.length;
    const flags = change.flags | NLM_F_REQUEST | (isLast ? NLM_F_ACK : 0);
    writeMessage(writer, { type: change.type, flags, sequence, payload: change });
  }
  transport.send(writer.finish());
  const answers = receiveAll(transport).filter(({ type }) => type === NLMSG_ERROR);
  for (const answer of answers) {
    const { errno, extendedAck } = decodeAcknowledgement(answer);
    const { type, what } = batch[answer.sequence] ?? batchBoundary(NFNL_MSG_BATCH_BEGIN);
    if (errno !== 0) throw new NetlinkError(messageName(NETFILTER_PROTOCOL, type), what, errno, extendedAck);
  }
  if (answers.length === 0) throw new CodecError('nftables transaction', 0, 'an answer', 'none');
}

/** Everything that waits to be read; an answer does when `send` returns. */
function receiveAll(transport: NetlinkTransport): Message[] {
  const messages: Message[] = [];
  for (;;) {
    const buffer = new Uint8Array(RECEIVE_SIZE);
    const length = transport.receive(buffer);
    if (length === undefined) return messages;
    messages.push(...readMessages(buffer.subarray(0, length)));
  }
}
