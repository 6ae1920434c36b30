/** Netfilter over netlink, bound to a namespace: transactions of nftables, the way of marked packets, logged packets. */
import { isCode } from '../../base/errors.ts';
import { NetlinkSocket } from '../../sys/netlink-socket.ts';
import { Netns } from '../../sys/netns.ts';
import { announcements, type ListenerEvent } from '../announcements.ts';
import { tracedIfAsked } from '../debug.ts';
import type { Change } from '../protocol.ts';
import type { NetlinkTransport } from '../transport.ts';
import {
  askConnections,
  type ConnectionFilter,
  decodeConnection,
  deleteConnection,
  type TrackedConnection,
} from './conntrack.ts';
import { NFNLGRP_NFTRACE, NFT_MSG_TRACE, NFULNL_MSG_PACKET } from './constants.ts';
import { logType, nftablesType } from './header.ts';
import { bindLogGroup, decodeLoggedPacket, type LoggedPacket } from './packet-log.ts';
import { NETFILTER_PROTOCOL } from './protocol.ts';
import {
  askCounters,
  askElements,
  decodeElements,
  nftObjectMessage,
  type SetElement,
  type SetName,
} from './set.ts';
import { decodeTraceEvent, type TraceEvent } from './trace-event.ts';
import { applyInOrder, commit, listAll, receiveAll } from './transaction.ts';

export interface Netfilter extends Disposable {
  /** All changes or none. @throws NetlinkError of the first that is refused; SysError */
  commit(changes: readonly Change[]): void;
  /** All elements of a named set or map. @throws NetlinkError, with code ENOENT without such a set; SysError */
  elements(name: SetName): SetElement[];
  /** Packets by name of the counter; empty without such a table. @throws NetlinkError, SysError */
  counters(table: string): ReadonlyMap<string, bigint>;
  /** Connections that the kernel tracks; more than the filter says where the kernel does not know it. @throws NetlinkError, SysError */
  connections(filter: ConnectionFilter): TrackedConnection[];
  /** Those that are gone already are passed over. @throws NetlinkError, SysError */
  forget(connections: readonly TrackedConnection[]): void;
  /** By which announcements tell what was caused here. */
  readonly port: number;
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
      elements: name =>
        listAll(transport, askElements(name)).flatMap(({ payload }) => decodeElements(payload)),
      counters: table =>
        new Map(
          listAll(transport, askCounters(table)).flatMap(({ payload }) => {
            const { name, data } = nftObjectMessage.decode(payload).attributes;
            return name === undefined || data?.packets === undefined ? [] : [[name, data.packets]];
          }),
        ),
      connections: filter =>
        listAll(transport, askConnections(filter)).flatMap(({ payload }) => decodeConnection(payload)),
      forget: connections => {
        for (const connection of connections) forget(transport, connection);
      },
      port: transport.port,
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

function forget(transport: NetlinkTransport, connection: TrackedConnection): void {
  try {
    applyInOrder(transport, [deleteConnection(connection)]);
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
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
