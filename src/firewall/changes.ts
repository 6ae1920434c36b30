/**
 * Hears of changes to firewall rules from the kernel itself: every transaction of nft and of the iptables that
 * is built on it is announced to a multicast group. What was changed does not matter, only that something was.
 * The legacy iptables has no announcements.
 */
import { isCode } from '../base/errors.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../sys/netlink-socket.ts';
import type { Netns } from '../sys/netns.ts';

/** include/uapi/linux/netfilter/nfnetlink.h. */
const NFNLGRP_NFTABLES = 7;

/** Larger than any datagram; what does not fit would still be a change. */
const DATAGRAM_SIZE = 64 << 10;

/**
 * Yields after every burst of changes in the namespace, until the signal aborts, which ends it without an
 * error. It listens from the first `next()` on. @throws SysError
 */
export async function* ruleChanges(netns: Netns, signal: AbortSignal): AsyncGenerator<void, void> {
  using socket = NetlinkSocket.open(netns, [NFNLGRP_NFTABLES], NETLINK_NETFILTER);
  const buffer = new Uint8Array(DATAGRAM_SIZE);
  while (!signal.aborted) {
    try {
      await socket.readable(signal);
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    while (readOne(socket, buffer));
    yield;
  }
}

/** Whether there was something; that the kernel had to drop announcements is one as well. */
function readOne(socket: NetlinkSocket, buffer: Uint8Array): boolean {
  try {
    return socket.receive(buffer) !== undefined;
  } catch (error) {
    if (isCode(error, 'ENOBUFS', 'EMSGSIZE')) return true;
    throw error;
  }
}
