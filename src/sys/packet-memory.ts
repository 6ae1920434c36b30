/**
 * Memory of the packet path: one block at a fixed address, so that system calls get numbers and no call of ours
 * allocates. Everything in it is named by its offset from the start of the block.
 */
import { endianness } from 'node:os';
import koffi from 'koffi';

export const HOST_IS_LITTLE = endianness() === 'LE';

/** A cache line on most processors. */
const ALIGNMENT = 64;

export class PacketMemory {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** The same memory as words of 32 bits in the host's order, for what is added up and not read. */
  readonly words: Int32Array;
  /** Where the block begins in the address space of the process; below 2^53 on every processor that Node.js runs on. */
  readonly address: number;
  #used = 0;

  /** @param size in bytes, rounded up to a multiple of 64. */
  constructor(size: number) {
    const buffer = new ArrayBuffer(roundUp(size));
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.words = new Int32Array(buffer);
    this.address = Number(koffi.address(this.bytes));
  }

  /** Takes `size` bytes of the block for good; they begin at a multiple of 64. @throws RangeError when it is used up. */
  reserve(size: number): number {
    const start = this.#used;
    const end = start + roundUp(size);
    if (end > this.bytes.byteLength) throw new RangeError(`no ${size} bytes left in packet memory`);
    this.#used = end;
    return start;
  }

  /** Moves bytes within the block; the two places may overlap. */
  copy(from: number, to: number, length: number): void {
    this.bytes.copyWithin(to, from, from + length);
  }
}

const roundUp = (size: number) => Math.ceil(size / ALIGNMENT) * ALIGNMENT;
