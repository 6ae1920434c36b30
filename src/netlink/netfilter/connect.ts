/** Netfilter over netlink, bound to a namespace: transactions of nftables, the way of marked packets, logged packets. */
import { NetlinkSocket } from '../../sys/netlink-socket.ts';
import { Netns } from '../../sys/netns.ts';
import { announcements, type ListenerEvent } from '../announcements.ts';
import { tracedIfAsked } from '../debug.ts';
import type { Change } from '../protocol.ts';
import type { NetlinkTransport } from '../transport.ts';
import { NFNLGRP_NFTRACE, NFT_MSG_TRACE, NFULNL_MSG_PACKET } from './constants.ts';
import { logType, nftablesType } from './header.ts';
import { bindLogGroup, decodeLoggedPacket, type LoggedPacket } from './packet-log.ts';
import { NETFILTER_PROTOCOL } from './protocol.ts';
import { decodeTraceEvent, type TraceEvent } from './trace-event.ts';
import { applyInOrder, commit, receiveAll } from './transaction.ts';

export interface Netfilter extends Disposable {
  /** All changes or none. @throws NetlinkError of the first that is refused; SysError */
  commit(changes: readonly Change[]): void;
  /** What marked packets meet from now on, not only those that we have marked; ends when `signal` aborts. */
  trace(signal: AbortSignal): AsyncIterable<TraceEvent | ListenerEvent>;
  /** Receives the packets that are logged to a group. @throws NetlinkError with code EPERM when another program does */
  packetLog(group: number): PacketLog;
}

/** Packets of a log group, kept by the kernel until they are read. */
export interface PacketLog extends Disposable {
  /** Those that were logged since the last call. */
  read(): LoggedPacket[];
}

/** Of the calling thread's own namespace unless another is given. Tables owned by it end with it. @throws SysError */
export function connectNetfilter(options: { readonly netns?: Netns } = {}): Netfilter {
  const netns = options.netns?.clone() ?? Netns.current();
  const open = tracedIfAsked(
    groups => NetlinkSocket.open(netns, groups, NETFILTER_PROTOCOL.number),
    NETFILTER_PROTOCOL,
  );
  try {
    const transport = open([]);
    return {
      commit: changes => commit(transport, changes),
      trace: signal =>
        announcements(open([NFNLGRP_NFTRACE]), signal, ({ type, payload }) =>
          type === nftablesType(NFT_MSG_TRACE) ? decodeTraceEvent(payload) : undefined,
        ),
      packetLog: group => openPacketLog(open([]), group),
      [Symbol.dispose]() {
        transport[Symbol.dispose]();
        netns[Symbol.dispose]();
      },
    };
  } catch (error) {
    netns[Symbol.dispose]();
    throw error;
  }
}

function openPacketLog(transport: NetlinkTransport, group: number): PacketLog {
  try {
    applyInOrder(transport, bindLogGroup(group));
  } catch (error) {
    transport[Symbol.dispose]();
    throw error;
  }
  return {
    read: () =>
      receiveAll(transport).flatMap(({ type, payload }) =>
        type === logType(NFULNL_MSG_PACKET) ? (decodeLoggedPacket(payload) ?? []) : [],
      ),
    [Symbol.dispose]: () => transport[Symbol.dispose](),
  };
}
