/**
 * Puts TCP segments together that follow one another, so that the kernel handles one large packet instead of many: the
 * inverse of segment.ts, and exactly that: segmenting what was put together gives the same bytes again. So segments
 * must agree in everything but length, id, sequence number, checksums and, on the last one, PSH (the kernel's own rules
 * are in net/ipv4/tcp_offload.c and gro.c, which are less strict about the window).
 *
 * A few flows are kept at a time, each in a buffer of its own with room for the device's header. Packets of one flow
 * stay in order; a packet that cannot be put together with others goes after what is there of its flow.
 */

import type { PacketMemory } from '../../sys/packet-memory.ts';
import { fold, internetChecksum, sumOf } from './checksum.ts';
import { FRAGMENT_OFFSET, IPPROTO_TCP, IpPacket, MORE_FRAGMENTS, V4, V6 } from './packet.ts';
import { ACK, CWR, FIN, PSH, RST, SYN, TCP, URG } from './tcp.ts';

/** Where packets go. Each has HEADROOM free bytes before it. */
export interface PacketSink {
  /** An ordinary packet. */
  write(at: number, length: number): void;
  /**
   * TCP segments as one packet, whose checksum is the pseudo header's part only.
   * @param tcp bytes before the TCP header. @param headers bytes before the payload. @param size payload per segment.
   */
  writeSegments(at: number, length: number, version: 4 | 6, tcp: number, headers: number, size: number): void;
}

/** For the header of the device, a multiple of 4 so that packets stay aligned. */
export const HEADROOM = 12;

/** The length of a packet has 16 bits. */
const LARGEST = 0xffff;
/** A power of two. */
const FLOWS = 8;
const BUFFER = HEADROOM + LARGEST + 1;

/** Bytes of memory that a Coalescer takes. */
export const COALESCER_MEMORY = FLOWS * (BUFFER + 64);

/** Segments with any of these are passed on alone. */
const SPECIAL = FIN | SYN | RST | URG | CWR;

class Flow {
  readonly at: number;
  packets = 0;
  length = 0;
  version: 4 | 6 = 4;
  headers = 0;
  tcp = 0;
  /** Payload of all but the last segment. */
  size = 0;
  nextSequence = 0;
  nextId = 0;
  /** Nothing can follow: the last segment was short, or pushed. */
  isClosed = false;

  constructor(at: number) {
    this.at = at;
  }
}

export class Coalescer {
  readonly #memory: PacketMemory;
  readonly #sink: PacketSink;
  readonly #flows: readonly Flow[];
  readonly #merged: IpPacket;
  #occupied = 0;

  constructor(memory: PacketMemory, sink: PacketSink) {
    this.#memory = memory;
    this.#sink = sink;
    this.#merged = new IpPacket(memory);
    this.#flows = Array.from({ length: FLOWS }, () => new Flow(memory.reserve(BUFFER) + HEADROOM));
  }

  /** Takes a packet; its bytes may be overwritten afterwards, also the HEADROOM before it. */
  add(packet: IpPacket): void {
    const tcp = tcpOffset(packet);
    if (tcp === 0) return this.#sink.write(packet.at, packet.length);
    const flow = this.#flows[flowOf(packet, tcp)] as Flow;
    const headers = tcp + (this.#memory.view.getUint8(packet.at + tcp + TCP.dataOffset) >> 4) * 4;
    if (!this.#isPlain(packet, tcp, headers)) {
      this.#flush(flow);
      return this.#sink.write(packet.at, packet.length);
    }
    if (flow.packets > 0 && this.#follows(flow, packet, tcp, headers)) return this.#append(flow, packet);
    this.#flush(flow);
    this.#begin(flow, packet, tcp, headers);
  }

  /** Hands on everything that is kept. */
  flush(): void {
    if (this.#occupied === 0) return;
    for (const flow of this.#flows) this.#flush(flow);
  }

  /** Whether it could be part of something larger: data, nothing special, and checksums that are right. */
  #isPlain(packet: IpPacket, tcp: number, headers: number): boolean {
    const { view } = this.#memory;
    const { at, length } = packet;
    if (headers < tcp + TCP.length || headers >= length) return false;
    const flags = view.getUint8(at + tcp + TCP.flags);
    if ((flags & SPECIAL) !== 0 || (flags & ACK) === 0) return false;
    if (packet.version === 4 && internetChecksum(sumOf(this.#memory, at, V4.length)) !== 0) return false;
    const covered = length - tcp;
    return fold(packet.pseudoSum(IPPROTO_TCP, covered) + sumOf(this.#memory, at + tcp, covered)) === 0xffff;
  }

  #begin(flow: Flow, packet: IpPacket, tcp: number, headers: number): void {
    const { view } = this.#memory;
    const { at, length, version } = packet;
    this.#memory.copy(at, flow.at, length);
    flow.packets = 1;
    flow.length = length;
    flow.version = version;
    flow.tcp = tcp;
    flow.headers = headers;
    flow.size = length - headers;
    flow.nextSequence = (view.getUint32(at + tcp + TCP.sequence) + flow.size) >>> 0;
    flow.nextId = version === 4 ? (view.getUint16(at + V4.id) + 1) & 0xffff : 0;
    flow.isClosed = (view.getUint8(at + tcp + TCP.flags) & PSH) !== 0;
    this.#occupied++;
  }

  #follows(flow: Flow, packet: IpPacket, tcp: number, headers: number): boolean {
    const { view } = this.#memory;
    const { at, version } = packet;
    const to = flow.at;
    const payload = packet.length - headers;
    return (
      !flow.isClosed &&
      version === flow.version &&
      headers === flow.headers &&
      payload <= flow.size &&
      flow.length + payload <= LARGEST &&
      view.getUint32(at + tcp + TCP.sequence) === flow.nextSequence &&
      (version === 4 ? this.#followsV4(flow, at) : this.#sameV6(to, at)) &&
      view.getUint32(at + tcp) === view.getUint32(to + tcp) &&
      view.getUint32(at + tcp + TCP.acknowledgement) === view.getUint32(to + tcp + TCP.acknowledgement) &&
      // Data offset, flags, window.
      (view.getUint32(at + tcp + TCP.dataOffset) & ~(PSH << 16)) ===
        (view.getUint32(to + tcp + TCP.dataOffset) & ~(PSH << 16)) &&
      // Checksum and urgent pointer: the latter must be the same.
      view.getUint16(at + tcp + TCP.checksum + 2) === view.getUint16(to + tcp + TCP.checksum + 2) &&
      this.#same(at + tcp + TCP.length, to + tcp + TCP.length, headers - tcp - TCP.length)
    );
  }

  /** Version, header length, TOS; id; flags; TTL, protocol; addresses. */
  #followsV4(flow: Flow, at: number): boolean {
    const { view } = this.#memory;
    return (
      view.getUint16(at) === view.getUint16(flow.at) &&
      view.getUint16(at + V4.id) === flow.nextId &&
      view.getUint16(at + V4.fragment) === view.getUint16(flow.at + V4.fragment) &&
      view.getUint16(at + V4.ttl) === view.getUint16(flow.at + V4.ttl) &&
      this.#same(at + V4.source, flow.at + V4.source, 8)
    );
  }

  /** Version, traffic class, flow label; next header, hop limit; addresses. */
  #sameV6(to: number, at: number): boolean {
    const { view } = this.#memory;
    return (
      view.getUint32(at) === view.getUint32(to) &&
      view.getUint16(at + V6.nextHeader) === view.getUint16(to + V6.nextHeader) &&
      this.#same(at + V6.source, to + V6.source, 32)
    );
  }

  /** @param length a multiple of 4. */
  #same(a: number, b: number, length: number): boolean {
    const { view } = this.#memory;
    for (let offset = 0; offset < length; offset += 4)
      if (view.getUint32(a + offset) !== view.getUint32(b + offset)) return false;
    return true;
  }

  #append(flow: Flow, packet: IpPacket): void {
    const { view } = this.#memory;
    const payload = packet.length - flow.headers;
    const flags = flow.at + flow.tcp + TCP.flags;
    const pushed = view.getUint8(packet.at + flow.tcp + TCP.flags) & PSH;
    this.#memory.copy(packet.at + flow.headers, flow.at + flow.length, payload);
    view.setUint8(flags, view.getUint8(flags) | pushed);
    flow.packets++;
    flow.length += payload;
    flow.nextSequence = (flow.nextSequence + payload) >>> 0;
    flow.nextId = (flow.nextId + 1) & 0xffff;
    flow.isClosed = payload < flow.size || pushed !== 0;
  }

  #flush(flow: Flow): void {
    if (flow.packets === 0) return;
    const { at, length, version, tcp, headers, size, packets } = flow;
    flow.packets = 0;
    this.#occupied--;
    if (packets === 1) return this.#sink.write(at, length);
    const merged = this.#merged;
    merged.read(at, LARGEST);
    merged.setLength(length);
    const pseudo = fold(merged.pseudoSum(IPPROTO_TCP, length - tcp));
    this.#memory.view.setUint16(at + tcp + TCP.checksum, pseudo);
    this.#sink.writeSegments(at, length, version, tcp, headers, size);
  }
}

/** Bytes before the TCP header; 0 for what is not TCP, a fragment, or has options before it. */
function tcpOffset(packet: IpPacket): number {
  const { headerLength } = packet;
  if (packet.protocol !== IPPROTO_TCP || packet.length < headerLength + TCP.length) return 0;
  if (packet.version === 6) return headerLength;
  const isFragment = (packet.fragment & (MORE_FRAGMENTS | FRAGMENT_OFFSET)) !== 0;
  return headerLength === V4.length && !isFragment ? headerLength : 0;
}

/** Which buffer the flow of a packet uses: by its ports and the ends of its addresses. */
function flowOf({ memory: { view }, at, version }: IpPacket, tcp: number): number {
  const source = at + (version === 4 ? V4.source : V6.source + 12);
  const destination = at + (version === 4 ? V4.destination : V6.destination + 12);
  const mixed = view.getUint32(at + tcp) ^ view.getUint32(source) ^ view.getUint32(destination);
  return (Math.imul(mixed, 0x9e3779b1) >>> 29) & (FLOWS - 1);
}
