/**
 * Makes TCP segments of one packet that stands for many, as the kernel would (tcp_gso_segment in
 * net/ipv4/tcp_offload.c): each has the headers of the whole, with its own length, sequence number, IPv4 id and
 * checksums; FIN and PSH belong to the last, CWR to the first.
 */
import { internetChecksum, sumOf } from './checksum.ts';
import { IPPROTO_TCP, type IpPacket, V4, V6, writeHeaderChecksum } from './packet.ts';
import { CWR, FIN, PSH, TCP } from './tcp.ts';

/** Where segments go. */
export interface SegmentSink {
  /** Offset at which the next packet of `length` bytes is to be written; it is sent when another one is asked for. */
  place(length: number): number;
}

/**
 * @param packet a whole TCP packet; its checksum is not looked at.
 * @param tcp bytes before the TCP header.
 * @param size bytes of payload per segment.
 * @returns how many segments were written, 0 when the headers do not fit the packet.
 */
export function segmentTcp(packet: IpPacket, tcp: number, size: number, sink: SegmentSink): number {
  const { memory, at, length, version } = packet;
  const { view } = memory;
  if (size === 0 || tcp < packet.headerLength || tcp + TCP.length > length) return 0;
  const headers = tcp + (view.getUint8(at + tcp + TCP.dataOffset) >> 4) * 4;
  if (headers < tcp + TCP.length || headers > length) return 0;

  const sequence = view.getUint32(at + tcp + TCP.sequence);
  const id = version === 4 ? view.getUint16(at + V4.id) : 0;
  const flags = view.getUint8(at + tcp + TCP.flags);
  const pseudo = packet.pseudoSum(IPPROTO_TCP, 0);
  const payload = length - headers;
  let count = 0;
  for (let done = 0; done < payload || count === 0; count++) {
    const part = Math.min(size, payload - done);
    const to = sink.place(headers + part);
    memory.copy(at, to, headers);
    memory.copy(at + headers + done, to + headers, part);
    if (version === 4) {
      view.setUint16(to + V4.totalLength, headers + part);
      view.setUint16(to + V4.id, (id + count) & 0xffff);
      writeHeaderChecksum(memory, to, packet.headerLength);
    } else view.setUint16(to + V6.payloadLength, headers + part - V6.length);

    const isLast = done + part >= payload;
    view.setUint32(to + tcp + TCP.sequence, (sequence + done) >>> 0);
    view.setUint8(to + tcp + TCP.flags, flags & (isLast ? 0xff : ~(FIN | PSH)) & (count === 0 ? 0xff : ~CWR));
    view.setUint16(to + tcp + TCP.checksum, 0);
    const covered = headers - tcp + part;
    view.setUint16(
      to + tcp + TCP.checksum,
      internetChecksum(pseudo + covered + sumOf(memory, to + tcp, covered)),
    );
    done += part;
  }
  return count;
}

/**
 * Completes a checksum of which the kernel has written the pseudo header's part only (VIRTIO_NET_HDR_F_NEEDS_CSUM).
 *
 * @param start, offset where it begins to count, in the packet, and where it belongs, from there: csum_start, csum_offset.
 * @returns false when those are not in the packet.
 */
export function completeChecksum(packet: IpPacket, start: number, offset: number): boolean {
  const { memory, at, length } = packet;
  if (start + offset + 2 > length) return false;
  const checksum = internetChecksum(sumOf(memory, at + start, length - start));
  // Only UDP needs this (0 says that there is none, RFC 768), and TCP allows it.
  memory.view.setUint16(at + start + offset, checksum === 0 ? 0xffff : checksum);
  return true;
}
