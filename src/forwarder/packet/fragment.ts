/** Fragmentation of an IPv4 packet by a router: RFC 791, section 3.2. */
import { FRAGMENT_OFFSET, type IpPacket, MORE_FRAGMENTS, V4, writeHeaderChecksum } from './packet.ts';
import type { SegmentSink } from './segment.ts';

/** Options: type with a bit that says "copy into every fragment", then, but for two types, a length. */
const COPIED = 0x80;
const END_OF_OPTIONS = 0;
const NO_OPERATION = 1;

/** Offsets of fragments count in units of this. */
const UNIT = 8;

/**
 * @param packet one that may be fragmented; a fragment itself may be.
 * @param mtu at least a header and 8 bytes (RFC 791: 68).
 * @returns how many fragments were written
 */
export function fragmentPacket(packet: IpPacket, mtu: number, sink: SegmentSink): number {
  const { memory, at, headerLength, length, fragment } = packet;
  const { view } = memory;
  const room = Math.floor((mtu - headerLength) / UNIT) * UNIT;
  const data = length - headerLength;
  let count = 0;
  for (let done = 0; done < data; count++) {
    const part = Math.min(room, data - done);
    const isLast = done + part >= data;
    const to = sink.place(headerLength + part);
    memory.copy(at, to, headerLength);
    if (count > 0) blankOptions(packet, to);
    memory.copy(at + headerLength + done, to + headerLength, part);
    const more = isLast ? fragment & MORE_FRAGMENTS : MORE_FRAGMENTS;
    view.setUint16(to + V4.fragment, more | (((fragment & FRAGMENT_OFFSET) + done / UNIT) & FRAGMENT_OFFSET));
    view.setUint16(to + V4.totalLength, headerLength + part);
    writeHeaderChecksum(memory, to, headerLength);
    done += part;
  }
  return count;
}

/** Only the first fragment has all options; in the others what is not to be copied gives way to no operations. */
function blankOptions({ memory: { bytes }, headerLength }: IpPacket, to: number): void {
  const end = to + headerLength;
  for (let at = to + V4.length; at < end; ) {
    const type = bytes[at] as number;
    if (type === END_OF_OPTIONS) return;
    const length = type === NO_OPERATION ? 1 : Math.max(2, bytes[at + 1] ?? 0);
    if ((type & COPIED) === 0) bytes.fill(NO_OPERATION, at, Math.min(at + length, end));
    at += length;
  }
}
