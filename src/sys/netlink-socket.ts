/**
 * A netlink socket in a network namespace: datagrams in and out, nothing about their meaning.
 *
 * The kernel handles a request inside `send`, so an answer is usually there when `send` returns; `readable` is for
 * announcements.
 */
import { HOST_IS_LITTLE } from '../base/bytes.ts';
import { isCode } from '../base/errors.ts';
import { SysError } from './errors.ts';
import {
  attachFilter,
  bind,
  close,
  getsockname,
  recv,
  SOCK_NONBLOCK,
  send,
  sendElsewhere,
  setsockopt,
  socket,
} from './libc.ts';
import type { Netns } from './netns.ts';
import { readable } from './readiness.ts';
import { keep, loadWord, whetherEqual } from './socket-filter.ts';

/** Families of netlink, include/uapi/linux/netlink.h. */
const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

/** include/linux/socket.h and include/uapi/linux/netlink.h. */
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const MSG_TRUNC = 0x20;

/** include/uapi/asm-generic/socket.h. */
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;

/** Options of SOL_NETLINK, include/uapi/linux/netlink.h. */
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;

/** Error texts from the kernel; errors without a copy of the request; a filter of a dump is obeyed or refused, never ignored. */
const SOCKET_OPTIONS = [NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK];

/** Only what is queued takes memory, so room for a burst costs nothing. */
const RECEIVE_BUFFER = 8 << 20;

/** struct sockaddr_nl: family, padding, port, groups. */
const SOCKADDR_SIZE = 12;

/** Of nlmsg_pid in struct nlmsghdr. */
const PORT_OFFSET = 12;

const EBADF = 9;
const EAGAIN = 11;
const EMSGSIZE = 90;

export class NetlinkSocket implements Disposable {
  #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** @param groups multicast groups of the family to listen to, RTNLGRP_* or NFNLGRP_*. @throws SysError */
  static open(netns: Netns, groups: readonly number[] = [], family = NETLINK_ROUTE): NetlinkSocket {
    const fd = netns.run(() => socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, family));
    const opened = new NetlinkSocket(fd);
    try {
      const address = new Uint8Array(SOCKADDR_SIZE);
      new DataView(address.buffer).setUint16(0, AF_NETLINK, HOST_IS_LITTLE);
      bind(fd, address);
      enlargeReceiveBuffer(fd);
      for (const option of SOCKET_OPTIONS) enable(fd, option);
      for (const group of groups) setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
      return opened;
    } catch (error) {
      opened[Symbol.dispose]();
      throw error;
    }
  }

  /** The number by which the kernel knows the socket: what it announces carries that of the cause, or 0. */
  get port(): number {
    const address = getsockname(this.#opened('getsockname'), SOCKADDR_SIZE);
    return new DataView(address.buffer).getUint32(4, HOST_IS_LITTLE);
  }

  /** From now on drops, in the kernel, what the socket with this port has caused. */
  ignore(port: number): void {
    // The filter loads a word as the network has it; a netlink header is written as this host has it.
    const word = new DataView(new ArrayBuffer(4));
    word.setUint32(0, port, HOST_IS_LITTLE);
    attachFilter(this.#opened('setsockopt'), [
      loadWord(PORT_OFFSET),
      whetherEqual(word.getUint32(0), 0, 1),
      keep(0),
      keep(0xffffffff),
    ]);
  }

  /** Sends one datagram of any number of messages; the kernel has handled them when this returns. */
  send(datagram: Uint8Array): void {
    const sent = send(this.#opened('send'), datagram);
    if (sent !== datagram.byteLength) throw new SysError('send', sent === undefined ? EAGAIN : EMSGSIZE);
  }

  /** As `send`, while this thread goes on: the kernel may wait for its locks, and for all processors (RCU). */
  async sendAside(datagram: Uint8Array): Promise<void> {
    const sent = await sendElsewhere(this.#opened('send'), datagram);
    // The kernel has seen nothing of it, and says here why.
    if (sent !== datagram.byteLength) this.send(datagram);
  }

  /**
   * Receives one datagram into `buffer`: its length, or undefined when there is none.
   * @throws SysError ENOBUFS once after the kernel had to drop something, EMSGSIZE when the buffer is too small.
   */
  receive(buffer: Uint8Array): number | undefined {
    const length = recv(this.#opened('recv'), buffer, MSG_TRUNC);
    if (length !== undefined && length > buffer.byteLength) throw new SysError('recv', EMSGSIZE);
    return length;
  }

  /** Resolves when `receive` has something to say; rejects with the signal's reason. */
  readable(signal: AbortSignal): Promise<void> {
    return readable(this.#opened('poll'), signal);
  }

  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    close(this.#fd);
    // The number may soon belong to another file.
    this.#fd = -1;
  }

  #opened(syscall: string): number {
    if (this.#fd < 0) throw new SysError(syscall, EBADF);
    return this.#fd;
  }
}

/** Linux before 4.20 does not have all of these options, and none of them is necessary. */
function enable(fd: number, option: number): void {
  try {
    setsockopt(fd, SOL_NETLINK, option, 1);
  } catch (error) {
    if (!isCode(error, 'ENOPROTOOPT')) throw error;
  }
}

/** With CAP_NET_ADMIN beyond the limit of the system (net.core.rmem_max), otherwise up to it. */
function enlargeReceiveBuffer(fd: number): void {
  try {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER);
  } catch {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
  }
}
