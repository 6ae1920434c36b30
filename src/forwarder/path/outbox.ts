/**
 * Datagrams on their way to peers: collected, and sent with few calls. Packets of one length to one peer, one after the
 * other, become one message that the kernel cuts up (UDP_SEGMENT, since Linux 4.18); several messages go with one
 * sendmmsg. What the kernel cannot take now stays until it can; who fills the outbox stops when `isFull`.
 */
import { MessageHeaders } from '../../sys/message-headers.ts';
import { EAGAIN, EINTR, EINVAL, EMSGSIZE, sendDatagram, sendMessages } from '../../sys/packet-calls.ts';
import type { PacketMemory } from '../../sys/packet-memory.ts';
import type { SegmentSink } from '../packet/segment.ts';
import { COUNTER, type Counters } from './counters.ts';
import type { Engine } from './engine.ts';
import type { Routes } from './routes.ts';

/** Payload of the largest UDP datagram over IPv4; over IPv6 a few more bytes fit. */
const LARGEST = 65_507;
/** UDP_MAX_SEGMENTS of kernels before 6.9; later ones take twice as many. */
const MOST_SEGMENTS = 64;
const BUFFER = 65_536;
/** A packet of 64 KiB in segments as small as Linux makes them (tcp_min_snd_mss) fills this many messages. */
const MOST_PER_PACKET = 24;
const MESSAGES = 32;

/** Bytes of memory that an Outbox takes. */
export const OUTBOX_MEMORY = MESSAGES * (BUFFER + 256);

/** A kernel or device that cannot cut up a message: it is too long for the path, or there are no checksums. */
const EIO = 5;
const CANNOT_SEGMENT = [-EINVAL, -EMSGSIZE, -EIO];

export class Outbox implements SegmentSink {
  readonly #memory: PacketMemory;
  readonly #fd: number;
  readonly #engine: Engine;
  readonly #counters: Counters;
  readonly #headers: MessageHeaders;
  readonly #buffers: number;

  /** Of each message: route, bytes per datagram, datagrams, bytes, bytes of its socket address. */
  readonly #slots = new Uint32Array(MESSAGES);
  readonly #sizes = new Uint32Array(MESSAGES);
  readonly #segments = new Uint32Array(MESSAGES);
  readonly #lengths = new Uint32Array(MESSAGES);
  readonly #nameLengths = new Uint32Array(MESSAGES);
  /** Messages that wait: from the first one not sent to the last one begun. */
  #first = 0;
  #end = 0;
  /** Messages whose headers are written. */
  #prepared = 0;
  #slot = 0;
  #routes: Routes | undefined;
  /** The last message takes no more datagrams. */
  #isClosed = true;
  /** The packet that was given its place last, and is not sealed yet. */
  #placedAt = -1;
  #placedLength = 0;

  /** @param fd of a non-blocking UDP socket. */
  constructor(memory: PacketMemory, fd: number, engine: Engine, counters: Counters) {
    this.#memory = memory;
    this.#fd = fd;
    this.#engine = engine;
    this.#counters = counters;
    this.#headers = new MessageHeaders(memory, MESSAGES);
    this.#buffers = memory.reserve(MESSAGES * BUFFER);
  }

  /** Whether datagrams wait for the kernel. */
  get isBlocked(): boolean {
    return this.#end > 0;
  }

  /** Whether another packet, in the worst case, would not fit: `flush` first. */
  get isFull(): boolean {
    return this.#end + MOST_PER_PACKET > MESSAGES;
  }

  /** What is placed from now on goes to this route's peer. */
  address(slot: number, routes: Routes): void {
    this.#seal();
    if (slot !== this.#slot || routes !== this.#routes) this.#isClosed = true;
    this.#slot = slot;
    this.#routes = routes;
  }

  place(length: number): number {
    this.#seal();
    const { headroom, tailroom } = this.#engine;
    const size = headroom + length + tailroom;
    if (!this.#joins(size)) this.#begin(size);
    const last = this.#end - 1;
    const at = this.#buffers + last * BUFFER + (this.#lengths[last] as number) + headroom;
    this.#lengths[last] = (this.#lengths[last] as number) + size;
    this.#segments[last] = (this.#segments[last] as number) + 1;
    // A shorter datagram can only be the last one of a message.
    this.#isClosed = size < (this.#sizes[last] as number);
    this.#placedAt = at;
    this.#placedLength = length;
    return at;
  }

  /** Sends what is there, as far as the kernel takes it; what it refuses is counted. */
  flush(): void {
    this.#seal();
    this.#isClosed = true;
    for (let index = this.#prepared; index < this.#end; index++) this.#prepare(index);
    this.#prepared = this.#end;
    while (this.#first < this.#end) {
      const sent = this.#send();
      if (sent === -EAGAIN) return;
      if (sent > 0) {
        for (let index = this.#first; index < this.#first + sent; index++) this.#countSent(index);
        this.#first += sent;
      } else if (sent !== -EINTR) {
        const isMany = (this.#segments[this.#first] as number) > 1;
        if (isMany && CANNOT_SEGMENT.includes(sent)) this.#sendSingly(this.#first);
        else this.#countFailed(this.#first, this.#segments[this.#first] as number);
        this.#first++;
      }
    }
    this.#first = 0;
    this.#end = 0;
    this.#prepared = 0;
  }

  /** @returns how many messages the kernel has taken, or -errno of the first. */
  #send(): number {
    const first = this.#first;
    const count = this.#end - first;
    if (count > 1 || (this.#segments[first] as number) > 1)
      return sendMessages(this.#fd, this.#headers.address(first), count);
    const { address } = this.#memory;
    const data = address + this.#buffers + first * BUFFER;
    const name = address + this.#headers.addressAt(first);
    const length = this.#lengths[first] as number;
    const sent = sendDatagram(this.#fd, data, length, name, this.#nameLengths[first] as number);
    return sent < 0 ? sent : 1;
  }

  #joins(size: number): boolean {
    const last = this.#end - 1;
    return (
      !this.#isClosed &&
      size <= (this.#sizes[last] as number) &&
      (this.#segments[last] as number) < MOST_SEGMENTS &&
      (this.#lengths[last] as number) + size <= LARGEST
    );
  }

  #begin(size: number): void {
    const index = this.#end;
    if (index >= MESSAGES) throw new RangeError('one packet in more pieces than Linux makes');
    this.#end++;
    const address = this.#headers.addressAt(index);
    const length = this.#routes?.copyAddress(this.#slot, this.#memory.bytes, address) ?? 0;
    this.#headers.setAddressLength(index, length);
    this.#nameLengths[index] = length;
    this.#slots[index] = this.#slot;
    this.#sizes[index] = size;
    this.#segments[index] = 0;
    this.#lengths[index] = 0;
  }

  #seal(): void {
    if (this.#placedAt < 0) return;
    this.#engine.seal(this.#memory, this.#slot, this.#placedAt, this.#placedLength);
    this.#placedAt = -1;
  }

  #prepare(index: number): void {
    this.#headers.setData(index, this.#buffers + index * BUFFER, this.#lengths[index] as number);
    const isMany = (this.#segments[index] as number) > 1;
    this.#headers.setSegmentSize(index, isMany ? (this.#sizes[index] as number) : 0);
  }

  /** The kernel fragments what is too long for the path then, as for any sender. */
  #sendSingly(index: number): void {
    const size = this.#sizes[index] as number;
    const end = this.#lengths[index] as number;
    const start = this.#buffers + index * BUFFER;
    this.#headers.setSegmentSize(index, 0);
    for (let at = 0; at < end; at += size) {
      this.#headers.setData(index, start + at, Math.min(size, end - at));
      if (sendMessages(this.#fd, this.#headers.address(index), 1) === 1)
        this.#count(index, 1, Math.min(size, end - at));
      else this.#countFailed(index, 1);
    }
  }

  #countSent(index: number): void {
    this.#count(index, this.#segments[index] as number, this.#lengths[index] as number);
  }

  #count(index: number, packets: number, length: number): void {
    const slot = this.#slots[index] as number;
    const { headroom, tailroom } = this.#engine;
    this.#counters.add(slot, COUNTER.sentPackets, packets);
    this.#counters.add(slot, COUNTER.sentBytes, length - packets * (headroom + tailroom));
  }

  #countFailed(index: number, packets: number): void {
    this.#counters.add(this.#slots[index] as number, COUNTER.sendFailed, packets);
  }
}
