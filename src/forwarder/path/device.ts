/**
 * The TUN device: packets of this host's kernel, each with a struct virtio_net_hdr before it (virtio 1.2, section
 * 5.1.6; its numbers in the host's order, as TUN has them):
 *
 *     0 flags (1) | 1 GSO type (1) | 2 length of headers (2) | 4 GSO size (2) | 6 checksum start (2) | 8 offset (2)
 */

import { HOST_IS_LITTLE } from '../../base/bytes.ts';
import { readPacket, writePacket } from '../../sys/packet-calls.ts';
import type { PacketMemory } from '../../sys/packet-memory.ts';
import { HEADROOM, type PacketSink } from '../packet/coalesce.ts';
import { TCP } from '../packet/tcp.ts';
import { COUNTER, type Counters, HOST_SLOT } from './counters.ts';

/** Length of that header. */
const VNET_HEADER = 10;

/** include/uapi/linux/virtio_net.h. */
const NEEDS_CSUM = 1;
const GSO_NONE = 0;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const GSO_ECN = 0x80;

const BUFFER = HEADROOM + 65_536;

/** Bytes of memory that a TunDevice takes. */
export const DEVICE_MEMORY = BUFFER + 64;

export class TunDevice implements PacketSink {
  readonly #memory: PacketMemory;
  readonly #fd: number;
  readonly #counters: Counters;
  readonly #buffer: number;

  /** @param fd of a TUN device with offloads. */
  constructor(memory: PacketMemory, fd: number, counters: Counters) {
    this.#memory = memory;
    this.#fd = fd;
    this.#counters = counters;
    this.#buffer = memory.reserve(BUFFER);
  }

  /** Offset of the packet that was read. */
  get at(): number {
    return this.#buffer + HEADROOM;
  }

  /** @returns length of a packet, or -errno. */
  read(): number {
    const start = this.at - VNET_HEADER;
    const length = readPacket(this.#fd, this.#memory.address + start, BUFFER - HEADROOM + VNET_HEADER);
    return length < 0 ? length : Math.max(0, length - VNET_HEADER);
  }

  /** Whether the packet that was read stands for many TCP segments. */
  get isSegmented(): boolean {
    const type = this.#memory.view.getUint8(this.at - VNET_HEADER + 1) & ~GSO_ECN;
    return type === GSO_TCPV4 || type === GSO_TCPV6;
  }

  /** Payload of each segment. */
  get segmentSize(): number {
    return this.#number(4);
  }

  /** Whether the checksum of the packet has to be completed: from `checksumStart` on, at `checksumOffset` from there. */
  get needsChecksum(): boolean {
    return (this.#memory.view.getUint8(this.at - VNET_HEADER) & NEEDS_CSUM) !== 0;
  }

  get checksumStart(): number {
    return this.#number(6);
  }

  get checksumOffset(): number {
    return this.#number(8);
  }

  write(at: number, length: number): void {
    this.#writeWith(at, length, 0, GSO_NONE, 0, 0, 0, 0);
  }

  writeSegments(
    at: number,
    length: number,
    version: 4 | 6,
    tcp: number,
    headers: number,
    size: number,
  ): void {
    const type = version === 4 ? GSO_TCPV4 : GSO_TCPV6;
    this.#writeWith(at, length, NEEDS_CSUM, type, headers, size, tcp, TCP.checksum);
  }

  #writeWith(
    at: number,
    length: number,
    flags: number,
    type: number,
    headers: number,
    size: number,
    start: number,
    offset: number,
  ): void {
    const { view, address } = this.#memory;
    const header = at - VNET_HEADER;
    view.setUint8(header, flags);
    view.setUint8(header + 1, type);
    view.setUint16(header + 2, headers, HOST_IS_LITTLE);
    view.setUint16(header + 4, size, HOST_IS_LITTLE);
    view.setUint16(header + 6, start, HOST_IS_LITTLE);
    view.setUint16(header + 8, offset, HOST_IS_LITTLE);
    if (writePacket(this.#fd, address + header, length + VNET_HEADER) < 0)
      this.#counters.add(HOST_SLOT, COUNTER.deviceFailed, 1);
  }

  #number(offset: number): number {
    return this.#memory.view.getUint16(this.at - VNET_HEADER + offset, HOST_IS_LITTLE);
  }
}
