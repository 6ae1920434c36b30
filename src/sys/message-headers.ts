/**
 * An array of struct mmsghdr for sendmmsg(2) and recvmmsg(2), each with one iovec, one socket address and room for
 * control messages (recvmmsg(2), cmsg(3), include/linux/socket.h). The layout depends on the size of a pointer, which
 * koffi knows, and on the order of bytes.
 *
 *     mmsghdr[count] | iovec[count] | sockaddr[count] | cmsghdr + data [count]
 */
import koffi from 'koffi';
import { HOST_IS_LITTLE } from '../base/bytes.ts';
import type { PacketMemory } from './packet-memory.ts';

const iovec = koffi.struct({ iov_base: 'uintptr_t', iov_len: 'size_t' });
const msghdr = koffi.struct({
  msg_name: 'uintptr_t',
  msg_namelen: 'uint32_t',
  msg_iov: 'uintptr_t',
  msg_iovlen: 'size_t',
  msg_control: 'uintptr_t',
  msg_controllen: 'size_t',
  msg_flags: 'int',
});
const mmsghdr = koffi.struct({ msg_hdr: msghdr, msg_len: 'unsigned int' });
const cmsghdr = koffi.struct({ cmsg_len: 'size_t', cmsg_level: 'int', cmsg_type: 'int' });

const POINTER = koffi.sizeof('uintptr_t');
const MESSAGE_SIZE = koffi.sizeof(mmsghdr);
const MESSAGE_LENGTH = koffi.offsetof(mmsghdr, 'msg_len');
const IOVEC_SIZE = koffi.sizeof(iovec);
const CONTROL_DATA = koffi.sizeof(cmsghdr);
const align = (size: number) => Math.ceil(size / POINTER) * POINTER;
/** Room for a control message whose data has this many bytes: CMSG_SPACE. */
export const controlSpace = (size: number): number => align(CONTROL_DATA) + align(size);
/** UDP_SEGMENT and UDP_GRO have an int or less. */
const ONE_INT = controlSpace(4);
const OFFSET = Object.fromEntries(
  ['msg_name', 'msg_namelen', 'msg_iov', 'msg_iovlen', 'msg_control', 'msg_controllen', 'msg_flags'].map(
    member => [member, koffi.offsetof(msghdr, member)],
  ),
) as Readonly<Record<string, number>>;
const IOV_LENGTH = koffi.offsetof(iovec, 'iov_len');
const CONTROL_LEVEL = koffi.offsetof(cmsghdr, 'cmsg_level');
const CONTROL_TYPE = koffi.offsetof(cmsghdr, 'cmsg_type');

const offsetOf = (member: string) => OFFSET[member] ?? 0;
const NAME_LENGTH = offsetOf('msg_namelen');
const CONTROL_LENGTH = offsetOf('msg_controllen');
const FLAGS = offsetOf('msg_flags');

/** struct sockaddr_in6 is the longest that is used here. */
const ADDRESS_ROOM = 28;
const ADDRESS_STRIDE = 32;

/** include/linux/socket.h: the datagram was longer than its buffer. */
const MSG_TRUNC = 0x20;

/** include/uapi/linux/udp.h. */
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const UDP_GRO = 104;

export class MessageHeaders {
  readonly count: number;
  readonly #memory: PacketMemory;
  readonly #messages: number;
  readonly #iovecs: number;
  readonly #addresses: number;
  readonly #controls: number;
  readonly #controlSize: number;

  /** @param controlSize bytes for the control messages of one message. */
  constructor(memory: PacketMemory, count: number, controlSize = ONE_INT) {
    this.count = count;
    this.#controlSize = controlSize;
    this.#memory = memory;
    this.#messages = memory.reserve(count * MESSAGE_SIZE);
    this.#iovecs = memory.reserve(count * IOVEC_SIZE);
    this.#addresses = memory.reserve(count * ADDRESS_STRIDE);
    this.#controls = memory.reserve(count * this.#controlSize);
    for (let index = 0; index < count; index++) {
      const message = this.#messages + index * MESSAGE_SIZE;
      this.#setPointer(message + offsetOf('msg_name'), this.addressAt(index));
      this.#setPointer(message + offsetOf('msg_iov'), this.#iovecs + index * IOVEC_SIZE);
      this.#setPointer(message + offsetOf('msg_control'), this.#controls + index * this.#controlSize);
      this.#setSize(message + offsetOf('msg_iovlen'), 1);
    }
  }

  /** Where the array, from this message on, is in the address space. */
  address(index: number): number {
    return this.#memory.address + this.#messages + index * MESSAGE_SIZE;
  }

  /** Offset of the socket address of a message. */
  addressAt(index: number): number {
    return this.#addresses + index * ADDRESS_STRIDE;
  }

  /** Bytes of `addressAt` that count: given to sendmmsg, or by recvmmsg. */
  setAddressLength(index: number, length: number): void {
    this.#memory.view.setUint32(this.#messages + index * MESSAGE_SIZE + NAME_LENGTH, length, HOST_IS_LITTLE);
  }

  /** The bytes of a message: `length` from offset `at` on. */
  setData(index: number, at: number, length: number): void {
    this.#setPointer(this.#iovecs + index * IOVEC_SIZE, at);
    this.#setSize(this.#iovecs + index * IOVEC_SIZE + IOV_LENGTH, length);
  }

  /** Lets the kernel send the data as datagrams of `size` bytes, the last one shorter; 0: as one datagram. */
  setSegmentSize(index: number, size: number): void {
    const controlLength = this.#messages + index * MESSAGE_SIZE + CONTROL_LENGTH;
    if (size === 0) return this.#setSize(controlLength, 0);
    const control = this.#controls + index * this.#controlSize;
    this.#setSize(controlLength, this.#controlSize);
    this.#setSize(control, CONTROL_DATA + 2);
    this.#memory.view.setInt32(control + CONTROL_LEVEL, SOL_UDP, HOST_IS_LITTLE);
    this.#memory.view.setInt32(control + CONTROL_TYPE, UDP_SEGMENT, HOST_IS_LITTLE);
    this.#memory.view.setUint16(control + CONTROL_DATA, size, HOST_IS_LITTLE);
  }

  /** Makes the first `count` messages ready to be received into again: the kernel has changed their lengths. */
  prepareToReceive(count: number): void {
    for (let index = 0; index < count; index++) {
      this.setAddressLength(index, ADDRESS_ROOM);
      this.#setSize(this.#messages + index * MESSAGE_SIZE + CONTROL_LENGTH, this.#controlSize);
    }
  }

  /** Bytes received. */
  length(index: number): number {
    return this.#memory.view.getUint32(
      this.#messages + index * MESSAGE_SIZE + MESSAGE_LENGTH,
      HOST_IS_LITTLE,
    );
  }

  /** Whether what was sent is longer than what was received. */
  isTruncated(index: number): boolean {
    const flags = this.#memory.view.getInt32(this.#messages + index * MESSAGE_SIZE + FLAGS, HOST_IS_LITTLE);
    return (flags & MSG_TRUNC) !== 0;
  }

  /** The kernel has put datagrams of this size together, the last one shorter; 0: it is one datagram. */
  segmentSize(index: number): number {
    const { view } = this.#memory;
    if (this.#getSize(this.#messages + index * MESSAGE_SIZE + CONTROL_LENGTH) < CONTROL_DATA + 4) return 0;
    const control = this.#controls + index * this.#controlSize;
    const isGro =
      view.getInt32(control + CONTROL_LEVEL, HOST_IS_LITTLE) === SOL_UDP &&
      view.getInt32(control + CONTROL_TYPE, HOST_IS_LITTLE) === UDP_GRO;
    return isGro ? view.getInt32(control + CONTROL_DATA, HOST_IS_LITTLE) : 0;
  }

  /** Offset of the data of a control message that was received; undefined when there is none of its kind. */
  controlData(index: number, level: number, type: number): number | undefined {
    const { view } = this.#memory;
    const start = this.#controls + index * this.#controlSize;
    const end = start + this.#getSize(this.#messages + index * MESSAGE_SIZE + CONTROL_LENGTH);
    for (let at = start; at + CONTROL_DATA <= end; ) {
      const isIt =
        view.getInt32(at + CONTROL_LEVEL, HOST_IS_LITTLE) === level &&
        view.getInt32(at + CONTROL_TYPE, HOST_IS_LITTLE) === type;
      if (isIt) return at + CONTROL_DATA;
      at += Math.max(CONTROL_DATA, align(this.#getSize(at)));
    }
    return undefined;
  }

  #setPointer(at: number, offset: number): void {
    const address = this.#memory.address + offset;
    if (POINTER === 4) this.#memory.view.setUint32(at, address, HOST_IS_LITTLE);
    else this.#setWide(at, address);
  }

  #setSize(at: number, value: number): void {
    if (POINTER === 4) this.#memory.view.setUint32(at, value, HOST_IS_LITTLE);
    else this.#setWide(at, value);
  }

  /** 64 bits without a bigint, which would be allocated. */
  #setWide(at: number, value: number): void {
    const { view } = this.#memory;
    view.setUint32(at + (HOST_IS_LITTLE ? 0 : 4), value >>> 0, HOST_IS_LITTLE);
    view.setUint32(at + (HOST_IS_LITTLE ? 4 : 0), Math.floor(value / 0x100000000), HOST_IS_LITTLE);
  }

  /** What is kept here fits 32 bits. */
  #getSize(at: number): number {
    const low = POINTER === 8 && !HOST_IS_LITTLE ? at + 4 : at;
    return this.#memory.view.getUint32(low, HOST_IS_LITTLE);
  }
}
