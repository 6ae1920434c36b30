/**
 * A packet socket that receives only the messages with which stations of one link find each other (ARP, or neighbor
 * solicitations and advertisements), as far as the host itself gets them, and that sends frames. The kernel chooses by
 * protocol and by a filter: no other frame costs this process anything.
 */
import type { Family } from '../base/ip.ts';
import { ETHERTYPE, NEIGHBOR_ADVERTISEMENT, NEIGHBOR_SOLICITATION } from '../base/neighbor-messages.ts';
import { attachFilter, bind, close, recvfrom, sendto } from './libc.ts';
import type { Netns } from './netns.ts';
import { linkAddress, packetSocket, SOCKADDR_LL } from './packet-socket.ts';
import { readable } from './readiness.ts';
import { keep, loadByte, loadWord, PACKET_TYPE, whetherEqual } from './socket-filter.ts';

/** PACKET_OTHERHOST: for another station, or of a VLAN. */
const OTHER_HOST = 3;
/** Offsets of the next header and, without an extension header, of the type of an ICMPv6 message in a frame. */
const NEXT_HEADER = 14 + 6;
const ICMPV6_TYPE = 14 + 40;
const ICMPV6 = 58;

/** Room for an IPv6 header, a message and a few options. */
const LONGEST = 256;

const FILTERS = {
  ipv4: [loadWord(PACKET_TYPE), whetherEqual(OTHER_HOST, 1), keep(LONGEST), keep(0)],
  ipv6: [
    loadWord(PACKET_TYPE),
    whetherEqual(OTHER_HOST, 6),
    loadByte(NEXT_HEADER),
    whetherEqual(ICMPV6, 0, 4),
    loadByte(ICMPV6_TYPE),
    whetherEqual(NEIGHBOR_SOLICITATION, 1),
    whetherEqual(NEIGHBOR_ADVERTISEMENT, 0, 1),
    keep(LONGEST),
    keep(0),
  ],
} as const;

const PROTOCOLS = { ipv4: ETHERTYPE.arp, ipv6: ETHERTYPE.ipv6 } as const satisfies Record<Family, number>;

export class NeighborSocket implements Disposable {
  readonly #fd: number;
  readonly #link: Uint8Array;
  readonly #buffer = new Uint8Array(LONGEST);
  readonly #sender = new Uint8Array(SOCKADDR_LL.size);

  private constructor(fd: number, link: Uint8Array) {
    this.#fd = fd;
    this.#link = link;
  }

  /** @param link its index. @throws SysError EPERM without CAP_NET_RAW, ENODEV for a link that is gone. */
  static open(netns: Netns, link: number, family: Family): NeighborSocket {
    const fd = packetSocket(netns);
    try {
      attachFilter(fd, FILTERS[family]);
      const address = linkAddress(link, PROTOCOLS[family]);
      bind(fd, address);
      return new NeighborSocket(fd, address);
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  /** The next frame, a view that is valid until the next call; undefined when there is none. @throws SysError ENETDOWN */
  receive(): Uint8Array | undefined {
    const size = recvfrom(this.#fd, this.#buffer, this.#sender);
    return size === undefined ? undefined : this.#buffer.subarray(0, size);
  }

  /** @param frame from its Ethernet header on. @throws SysError ENETDOWN, ENXIO for a link that is down or gone */
  send(frame: Uint8Array): void {
    // A full buffer is a lost frame, as on the way.
    sendto(this.#fd, frame, this.#link);
  }

  /** Resolves when there is something to receive. Rejects with the signal's reason. */
  async readable(signal: AbortSignal): Promise<void> {
    await readable(this.#fd, signal);
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }
}
