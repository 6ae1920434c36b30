/**
 * A packet socket that sees the frames of some links of a network namespace, in the order in which the kernel does
 * (packet(7), include/uapi/linux/if_packet.h). One socket for all links, and a filter in the kernel for which.
 */

import { HOST_IS_LITTLE } from '../base/bytes.ts';
import { SysError } from './errors.ts';
import { attachFilter, bind, close, getsockopt, setsockopt, setsockoptBytes } from './libc.ts';
import { controlSpace, MessageHeaders } from './message-headers.ts';
import type { Netns } from './netns.ts';
import { EAGAIN, EINTR, receiveMessages } from './packet-calls.ts';
import { PacketMemory } from './packet-memory.ts';
import { linkAddress, packetSocket, SOCKADDR_LL } from './packet-socket.ts';
import { readable } from './readiness.ts';
import { type FilterInstruction, keep, LINK_INDEX, loadWord, whetherEqual } from './socket-filter.ts';

/** include/uapi/linux/if_ether.h. */
const ETH_P_ALL = 3;

/** include/uapi/asm-generic/socket.h. */
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
/** SO_TIMESTAMPNS_OLD, also the type of its control message: struct timespec. */
const SO_TIMESTAMPNS = 35;

/** include/uapi/linux/if_packet.h. */
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_STATISTICS = 6;
/** Also the type of its control message: struct tpacket_auxdata. */
const PACKET_AUXDATA = 8;
const PACKET_MR_PROMISC = 1;

/** struct tpacket_auxdata {u32 status, len, snaplen; u16 mac, net, vlan_tci, vlan_tpid}. */
const AUXDATA = { size: 20, length: 4, tci: 16, tpid: 18 } as const;
const TP_STATUS_VLAN_VALID = 0x10;
const TP_STATUS_VLAN_TPID_VALID = 0x40;
const ETH_P_8021Q = 0x8100;

/** Frames per system call. */
const BATCH = 32;
/** A packet of 64 KiB, which the kernel has not cut into pieces yet, in an Ethernet frame with tags. */
const SLOT = 65_536 + 64;
/** A VLAN tag that the kernel has taken out of the frame is put back here. */
const TAG = 4;
const MAC_ADDRESSES = 12;
const CONTROL = controlSpace(AUXDATA.size) + controlSpace(16);
/** Only what is queued takes memory. */
const RECEIVE_BUFFER = 16 << 20;

/** PACKET_HOST to PACKET_OUTGOING: to this host, to all, to a group, to another host; from this host. */
const PACKET_TYPES = ['host', 'broadcast', 'multicast', 'otherhost', 'outgoing'] as const;
export type PacketType = (typeof PACKET_TYPES)[number];

export interface CapturedFrame {
  /** Index of the link. */
  readonly link: number;
  /** Nanoseconds since the epoch. */
  readonly time: bigint;
  readonly type: PacketType;
  /** On the wire; more than `bytes` has when the end was cut off. */
  readonly length: number;
  /** A view, valid until the next call of `receive`. */
  readonly bytes: Uint8Array;
}

export type CaptureOptions =
  | {
      /** Indexes of the links. */
      readonly links: readonly number[];
      /** Have the links take frames that are for others. */
      readonly promiscuous?: boolean;
    }
  /** Which frames, of any link. */
  | { readonly filter: readonly FilterInstruction[] };

export class CaptureSocket implements Disposable {
  /** The longest part of a frame that is captured. */
  static readonly SNAPSHOT = SLOT;
  readonly #fd: number;
  readonly #memory = new PacketMemory(BATCH * (SLOT + 64 + 512));
  readonly #headers = new MessageHeaders(this.#memory, BATCH, CONTROL);
  readonly #slots = this.#memory.reserve(BATCH * (SLOT + 64));
  #dropped = 0;

  private constructor(fd: number) {
    this.#fd = fd;
    for (let index = 0; index < BATCH; index++) this.#headers.setData(index, this.#at(index), SLOT);
  }

  /** @throws SysError EPERM without CAP_NET_RAW, ENODEV for a link that is gone. */
  static open(netns: Netns, options: CaptureOptions): CaptureSocket {
    const { filter, promiscuous } = wantsOf(options);
    const fd = packetSocket(netns);
    try {
      setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER);
      setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
      setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, 1);
      attachFilter(fd, filter);
      for (const link of promiscuous) joinPromiscuous(fd, link);
      bind(fd, linkAddress(0, ETH_P_ALL));
      return new CaptureSocket(fd);
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  /** What has come, at most a batch; nothing when there is none. What came before is overwritten. @throws SysError */
  receive(): CapturedFrame[] {
    this.#headers.prepareToReceive(BATCH);
    const count = receiveMessages(this.#fd, this.#headers.address(0), BATCH);
    if (count === -EAGAIN || count === -EINTR) return [];
    if (count < 0) throw new SysError('recvmmsg', -count);
    return Array.from({ length: count }, (_, index) => this.#frame(index));
  }

  /** Resolves when there is something to receive. Rejects with the signal's reason. */
  async readable(signal: AbortSignal): Promise<void> {
    await readable(this.#fd, signal);
  }

  /** Frames that the kernel had no room for since the socket was opened. */
  get dropped(): number {
    // struct tpacket_stats {u32 packets, drops}; the kernel counts from its last answer.
    const stats = getsockopt(this.#fd, SOL_PACKET, PACKET_STATISTICS, 8);
    this.#dropped += new DataView(stats.buffer).getUint32(4, HOST_IS_LITTLE);
    return this.#dropped;
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }

  /** Offset of the bytes of a frame, with room before them for a tag. */
  #at(index: number): number {
    return this.#slots + index * (SLOT + 64) + 64;
  }

  #frame(index: number): CapturedFrame {
    const { view } = this.#memory;
    const address = this.#headers.addressAt(index);
    const auxdata = this.#headers.controlData(index, SOL_PACKET, PACKET_AUXDATA);
    const captured = this.#headers.length(index);
    const length =
      auxdata === undefined ? captured : view.getUint32(auxdata + AUXDATA.length, HOST_IS_LITTLE);
    const tag = auxdata === undefined ? 0 : this.#restoreTag(index, auxdata);
    const start = this.#at(index) - tag;
    return {
      link: view.getInt32(address + SOCKADDR_LL.ifindex, HOST_IS_LITTLE),
      time: this.#time(index),
      type: PACKET_TYPES[view.getUint8(address + SOCKADDR_LL.pkttype)] ?? 'otherhost',
      length: length + tag,
      bytes: this.#memory.bytes.subarray(start, start + captured + tag),
    };
  }

  /** The kernel takes VLAN tags out of frames. @returns bytes put back before the frame's first. */
  #restoreTag(index: number, auxdata: number): number {
    const { view, bytes } = this.#memory;
    const status = view.getUint32(auxdata, HOST_IS_LITTLE);
    if ((status & TP_STATUS_VLAN_VALID) === 0 || this.#headers.length(index) < MAC_ADDRESSES) return 0;
    const hasProtocol = (status & TP_STATUS_VLAN_TPID_VALID) !== 0;
    const start = this.#at(index);
    bytes.copyWithin(start - TAG, start, start + MAC_ADDRESSES);
    const tag = start - TAG + MAC_ADDRESSES;
    view.setUint16(tag, hasProtocol ? view.getUint16(auxdata + AUXDATA.tpid, HOST_IS_LITTLE) : ETH_P_8021Q);
    view.setUint16(tag + 2, view.getUint16(auxdata + AUXDATA.tci, HOST_IS_LITTLE));
    return TAG;
  }

  #time(index: number): bigint {
    const { view } = this.#memory;
    const at = this.#headers.controlData(index, SOL_SOCKET, SO_TIMESTAMPNS);
    if (at === undefined) return BigInt(Date.now()) * 1_000_000n;
    return view.getBigInt64(at, HOST_IS_LITTLE) * 1_000_000_000n + view.getBigInt64(at + 8, HOST_IS_LITTLE);
  }
}

function wantsOf(options: CaptureOptions) {
  if ('filter' in options) return { filter: options.filter, promiscuous: [] };
  const { links, promiscuous = false } = options;
  return { filter: filterOf(links), promiscuous: promiscuous ? links : [] };
}

/** The most that the jumps of a filter, 8 bits each, can cover. */
const MOST_LINKS = 254;

/** Accepts frames of these links: compare with each, and jump to the last instruction, which takes them. */
function filterOf(links: readonly number[]) {
  if (links.length === 0 || links.length > MOST_LINKS)
    throw new RangeError(`want 1 to ${MOST_LINKS} links, got ${links.length}`);
  return [
    loadWord(LINK_INDEX),
    ...links.map((link, at) => whetherEqual(link, links.length - at)),
    keep(0),
    keep(SLOT),
  ];
}

/** struct packet_mreq {int ifindex; u16 type, length; u8 address[8]}. */
function joinPromiscuous(fd: number, link: number): void {
  const request = new Uint8Array(16);
  const view = new DataView(request.buffer);
  view.setInt32(0, link, HOST_IS_LITTLE);
  view.setUint16(4, PACKET_MR_PROMISC, HOST_IS_LITTLE);
  setsockoptBytes(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, request);
}
