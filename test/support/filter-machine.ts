/** Runs the filter of a socket as the kernel does (net/core/filter.c), over bytes in memory. */
import type { FilterInstruction } from '../../src/sys/socket-filter.ts';

/** What the kernel knows of a frame, by the offset that a filter asks for it with. */
export type FrameFacts = Readonly<Record<number, number>>;

/** Bytes that are kept; 0 when the frame is dropped. @throws RangeError for an instruction that is not known */
export function runFilter(
  filter: readonly FilterInstruction[],
  frame: Uint8Array,
  facts: FrameFacts,
): number {
  const places = new Uint32Array(16);
  let [number, offset] = [0, 0];
  for (let at = 0; ; at++) {
    const { code, k, jt, jf } = filter[at] ?? { code: -1, k: 0, jt: 0, jf: 0 };
    const fact = facts[k];
    switch (code) {
      case 0x20:
        if (fact === undefined) throw new RangeError(`fact ${k}`);
        number = fact;
        break;
      case 0x40:
      case 0x48:
      case 0x50: {
        const size = code === 0x40 ? 4 : code === 0x48 ? 2 : 1;
        const place = offset + k;
        if (place + size > frame.byteLength) return 0;
        number = frame.subarray(place, place + size).reduce((sum, byte) => sum * 256 + byte, 0);
        break;
      }
      case 0x00:
        number = k;
        break;
      case 0x01:
        offset = k;
        break;
      case 0x60:
        number = places[k] as number;
        break;
      case 0x02:
        places[k] = number;
        break;
      case 0x04:
        number = (number + k) >>> 0;
        break;
      case 0x0c:
        number = (number + offset) >>> 0;
        break;
      case 0x44:
        number = (number | k) >>> 0;
        break;
      case 0x54:
        number = (number & k) >>> 0;
        break;
      case 0x64:
        number = (number << k) >>> 0;
        break;
      case 0x74:
        number >>>= k;
        break;
      case 0x07:
        offset = number;
        break;
      case 0x87:
        number = offset;
        break;
      case 0x05:
        at += k;
        break;
      case 0x15:
        at += number === k ? jt : jf;
        break;
      case 0x35:
        at += number >= k ? jt : jf;
        break;
      case 0x45:
        at += (number & k) !== 0 ? jt : jf;
        break;
      case 0x06:
        return k;
      default:
        throw new RangeError(`instruction ${at}: code ${code}`);
    }
  }
}
