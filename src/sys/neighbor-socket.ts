/**
 * A packet socket that receives only the messages with which stations of one link find each other (ARP, or neighbor
 * solicitations and advertisements), as far as the host itself gets them, and that sends frames. The kernel chooses by
 * protocol and by a filter (packet(7), include/uapi/linux/filter.h): no other frame costs this process anything.
 */
import { HOST_IS_LITTLE } from '../base/bytes.ts';
import type { Family } from '../base/ip.ts';
import { ETHERTYPE, NEIGHBOR_ADVERTISEMENT, NEIGHBOR_SOLICITATION } from '../base/neighbor-messages.ts';
import { attachFilter, bind, close, recvfrom, SOCK_NONBLOCK, sendto, socket } from './libc.ts';
import type { Netns } from './netns.ts';
import { readable } from './readiness.ts';

/** include/linux/socket.h, include/linux/net.h. */
const AF_PACKET = 17;
const SOCK_RAW = 3;

/** struct sockaddr_ll {u16 family, be16 protocol, int ifindex, u16 hatype, u8 pkttype, u8 halen, u8 addr[8]}. */
const SOCKADDR_LL = 20;

/** Load a byte of the frame; load what the kernel knows of it; compare; return how much of it to keep. */
const LOAD_BYTE = 0x30;
const LOAD = 0x20;
const JUMP_IF_EQUAL = 0x15;
const RETURN = 0x06;
const TYPE_OF_PACKET = (-0x1000 + 4) >>> 0;
/** PACKET_OTHERHOST: for another station, or of a VLAN. */
const OTHER_HOST = 3;
/** Offsets of the next header and, without an extension header, of the type of an ICMPv6 message in a frame. */
const NEXT_HEADER = 14 + 6;
const ICMPV6_TYPE = 14 + 40;
const ICMPV6 = 58;

/** Room for an IPv6 header, a message and a few options. */
const LONGEST = 256;

const step = (code: number, k: number, jt = 0, jf = 0) => ({ code, jt, jf, k });

const FILTERS = {
  ipv4: [
    step(LOAD, TYPE_OF_PACKET),
    step(JUMP_IF_EQUAL, OTHER_HOST, 1),
    step(RETURN, LONGEST),
    step(RETURN, 0),
  ],
  ipv6: [
    step(LOAD, TYPE_OF_PACKET),
    step(JUMP_IF_EQUAL, OTHER_HOST, 6),
    step(LOAD_BYTE, NEXT_HEADER),
    step(JUMP_IF_EQUAL, ICMPV6, 0, 4),
    step(LOAD_BYTE, ICMPV6_TYPE),
    step(JUMP_IF_EQUAL, NEIGHBOR_SOLICITATION, 1),
    step(JUMP_IF_EQUAL, NEIGHBOR_ADVERTISEMENT, 0, 1),
    step(RETURN, LONGEST),
    step(RETURN, 0),
  ],
} as const;

const PROTOCOLS = { ipv4: ETHERTYPE.arp, ipv6: ETHERTYPE.ipv6 } as const satisfies Record<Family, number>;

export class NeighborSocket implements Disposable {
  readonly #fd: number;
  readonly #link: Uint8Array;
  readonly #buffer = new Uint8Array(LONGEST);
  readonly #sender = new Uint8Array(SOCKADDR_LL);

  private constructor(fd: number, link: Uint8Array) {
    this.#fd = fd;
    this.#link = link;
  }

  /** @param link its index. @throws SysError EPERM without CAP_NET_RAW, ENODEV for a link that is gone. */
  static open(netns: Netns, link: number, family: Family): NeighborSocket {
    // Without a protocol it receives nothing until the filter is there.
    const fd = netns.run(() => socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0));
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

function linkAddress(link: number, protocol: number): Uint8Array {
  const address = new Uint8Array(SOCKADDR_LL);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, HOST_IS_LITTLE);
  view.setUint16(2, protocol);
  view.setInt32(4, link, HOST_IS_LITTLE);
  return address;
}
