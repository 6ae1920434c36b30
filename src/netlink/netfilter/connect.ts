/** Nftables over netlink, bound to a namespace: transactions, and the way of marked packets. */
import { NetlinkSocket } from '../../sys/netlink-socket.ts';
import { Netns } from '../../sys/netns.ts';
import { announcements, type ListenerEvent } from '../announcements.ts';
import { tracedIfAsked } from '../debug.ts';
import type { Change } from '../protocol.ts';
import { NFNLGRP_NFTRACE, NFT_MSG_TRACE } from './constants.ts';
import { nftablesType } from './header.ts';
import { NETFILTER_PROTOCOL } from './protocol.ts';
import { decodeTraceEvent, type TraceEvent } from './trace-event.ts';
import { commit } from './transaction.ts';

export interface Netfilter extends Disposable {
  /** All changes or none. @throws NetlinkError of the first that is refused; SysError */
  commit(changes: readonly Change[]): void;
  /** What marked packets meet from now on, not only those that we have marked; ends when `signal` aborts. */
  trace(signal: AbortSignal): AsyncIterable<TraceEvent | ListenerEvent>;
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
