/**
 * A raw socket of ICMP or ICMPv6 in a network namespace: messages in and out, nothing about their meaning. What it sends
 * is never fragmented and never cut to a path MTU that the kernel remembers: a question of how much passes must not be
 * answered from memory.
 */
import type { Family, Ip } from '../base/ip.ts';
import {
  attachFilter,
  bind,
  close,
  recvfrom,
  SOCK_NONBLOCK,
  sendto,
  setsockopt,
  setsockoptBytes,
  socket,
} from './libc.ts';
import type { Netns } from './netns.ts';
import { readable } from './readiness.ts';
import { addressIn, SOCKADDR, SOCKET_FAMILIES, socketAddress } from './socket-address.ts';

/** include/uapi/linux/in.h, in6.h: protocol, level of the options, and those of path MTU discovery. */
const FAMILIES = {
  ipv4: { protocol: 1, level: 0, mtuDiscover: 10 },
  ipv6: { protocol: 58, level: 41, mtuDiscover: 23 },
} as const;
/** IP_PMTUDISC_PROBE and IPV6_PMTUDISC_PROBE: as large as the link takes, with DF. */
const PROBE = 3;

/** include/linux/net.h, include/uapi/asm-generic/socket.h. */
const SOCK_RAW = 3;
const SOL_SOCKET = 1;
const SO_BINDTODEVICE = 25;
const SO_RCVBUFFORCE = 33;

/** Only what is queued takes memory, so room for a burst of answers costs nothing. */
const RECEIVE_BUFFER = 4 << 20;

/** ICMP_FILTER of SOL_RAW and ICMP6_FILTER of IPPROTO_ICMPV6 (include/uapi/linux/icmp.h, icmpv6.h): a bit per type. */
const FILTERS = {
  ipv4: { level: 255, option: 1, words: 1 },
  ipv6: { level: 58, option: 1, words: 8 },
} as const;

/** Where the message begins for a filter: the kernel shows it an IPv4 header (without options, say), and none of IPv6. */
export const MESSAGE_OFFSET = { ipv4: 20, ipv6: 0 } as const satisfies Record<Family, number>;

/** The largest IP packet. */
const LARGEST = 65_535;

export interface IcmpMessage {
  readonly from: Ip;
  /** From the type on, without IP header. A view, valid until the next message is taken. */
  readonly bytes: Uint8Array;
}

export interface IcmpSocketOptions {
  readonly link?: string;
  readonly source?: Ip;
  readonly filter?: Parameters<typeof attachFilter>[1];
}

export class IcmpSocket implements Disposable {
  readonly family: Family;
  readonly #fd: number;
  readonly #buffer = new Uint8Array(LARGEST);
  readonly #address = new Uint8Array(SOCKADDR.ipv6.length);

  private constructor(family: Family, fd: number) {
    this.family = family;
    this.#fd = fd;
  }

  /**
   * @param types of messages to receive.
   * @param link name of the only link that it sends and receives over; the routes decide when absent.
   * @param source address of this host that it sends from and receives at; the routes decide when absent.
   * @param filter of what it receives (socket-filter.ts): everything of these types when absent.
   * @throws SysError: EADDRNOTAVAIL for a source that this host does not have.
   */
  static open(
    netns: Netns,
    family: Family,
    types: readonly number[],
    { link, source, filter }: IcmpSocketOptions = {},
  ): IcmpSocket {
    const { protocol, level, mtuDiscover } = FAMILIES[family];
    const fd = netns.run(() => socket(SOCKET_FAMILIES[family], SOCK_RAW | SOCK_NONBLOCK, protocol));
    try {
      setsockopt(fd, level, mtuDiscover, PROBE);
      setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER);
      receiveOnly(fd, family, types);
      if (filter !== undefined) attachFilter(fd, filter);
      if (link !== undefined)
        setsockoptBytes(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(link));
      if (source !== undefined) bind(fd, socketAddress(source, 0));
      return new IcmpSocket(family, fd);
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  /** @throws SysError: ENETUNREACH and the like for no route, EMSGSIZE for more than the link takes. */
  send(to: Ip, bytes: Uint8Array): void {
    // A full buffer is a lost packet, as on the way.
    sendto(this.#fd, bytes, socketAddress(to, 0));
  }

  /** undefined when there is none. */
  receive(): IcmpMessage | undefined {
    const size = recvfrom(this.#fd, this.#buffer, this.#address);
    if (size === undefined) return undefined;
    const header = this.family === 'ipv4' ? ((this.#buffer[0] ?? 0) & 0xf) * 4 : 0;
    return { from: addressIn(this.#address), bytes: this.#buffer.subarray(Math.min(header, size), size) };
  }

  /** Resolves when there is something to receive. Rejects with the signal's reason. */
  async readable(signal: AbortSignal): Promise<void> {
    await readable(this.#fd, signal);
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }
}

/** What is not asked for is dropped in the kernel: every raw socket gets a copy of all messages of the host. */
function receiveOnly(fd: number, family: Family, types: readonly number[]): void {
  const { level, option, words } = FILTERS[family];
  const dropped = new Uint32Array(words).fill(0xffffffff);
  for (const type of types) {
    const word = type >>> 5;
    // Types of ICMP from 32 on are always received.
    if (word < words) dropped[word] = (dropped[word] ?? 0) & ~(1 << (type & 31));
  }
  setsockoptBytes(fd, level, option, new Uint8Array(dropped.buffer));
}
