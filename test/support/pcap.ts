/**
 * The capture files of tcpdump: the classic libpcap format (draft-ietf-opsawg-pcap), Ethernet only.
 *
 *     header   magic u32 | version u16 u16 | reserved u32 u32 | snaplen u32 | link type u32
 *     packet   seconds u32 | fraction u32 | captured length u32 | original length u32 | bytes
 *
 * The magic number gives the byte order of the writer and the unit of the fraction.
 */
import { CodecError } from '../../src/base/errors.ts';

export interface CapturedFrame {
  /** Seconds since the epoch. */
  readonly time: number;
  /** Length on the wire; more than `bytes` has when the capture cut it off. */
  readonly length: number;
  readonly bytes: Uint8Array;
}

const FILE_HEADER = 24;
const PACKET_HEADER = 16;
const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const LINKTYPE_ETHERNET = 1;
/** Larger than any frame; a length beyond it means that the file is not what it seems. */
const LONGEST_FRAME = 262_144;

/**
 * All complete packets of a capture; one that is still being written at the end of the file is left out.
 *
 * @throws CodecError when it is not a capture of Ethernet frames.
 */
export function decodePcap(file: Uint8Array): CapturedFrame[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.byteLength < FILE_HEADER)
    throw malformed(0, `a header of ${FILE_HEADER} bytes`, `${file.byteLength}`);
  const [little, unit] = orderAndUnit(view);
  const linkType = view.getUint32(20, little) & 0xffff;
  if (linkType !== LINKTYPE_ETHERNET) throw malformed(20, 'link type 1 (Ethernet)', `${linkType}`);

  const frames: CapturedFrame[] = [];
  for (let offset = FILE_HEADER; offset + PACKET_HEADER <= file.byteLength; ) {
    const captured = view.getUint32(offset + 8, little);
    if (captured > LONGEST_FRAME) throw malformed(offset + 8, `at most ${LONGEST_FRAME}`, `${captured}`);
    const start = offset + PACKET_HEADER;
    if (start + captured > file.byteLength) break;
    frames.push({
      time: view.getUint32(offset, little) + view.getUint32(offset + 4, little) / unit,
      length: view.getUint32(offset + 12, little),
      bytes: file.slice(start, start + captured),
    });
    offset = start + captured;
  }
  return frames;
}

/** Whether the writer was little-endian, and how many of its fractions make a second. */
function orderAndUnit(view: DataView): readonly [boolean, number] {
  for (const little of [true, false]) {
    const magic = view.getUint32(0, little);
    if (magic === MAGIC_MICROSECONDS) return [little, 1e6];
    if (magic === MAGIC_NANOSECONDS) return [little, 1e9];
  }
  throw malformed(0, 'the magic number of a capture file', `0x${view.getUint32(0).toString(16)}`);
}

function malformed(offset: number, want: string, got: string): CodecError {
  return new CodecError('capture file', offset, want, got);
}
