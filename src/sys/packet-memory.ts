/**
 * Memory of the packet path: one block at a fixed address, so that system calls get numbers and no call of ours
 * allocates. Everything in it is named by its offset from the start of the block.
 */
import koffi from 'koffi';
import { openVectorMemory, type VectorMemory } from './vector-memory.ts';

/** A cache line on most processors. */
const ALIGNMENT = 64;

export class PacketMemory {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Where the block begins in the address space of the process; below 2^53 on every processor that Node.js runs on. */
  readonly address: number;
  readonly #vectors: VectorMemory;
  #used = 0;

  /** @param size in bytes; rounded up. */
  constructor(size: number) {
    this.#vectors = openVectorMemory(size);
    this.bytes = new Uint8Array(this.#vectors.buffer);
    this.view = new DataView(this.#vectors.buffer);
    this.address = Number(koffi.address(this.bytes));
  }

  /** Takes `size` bytes of the block for good; they begin at a multiple of 64. @throws RangeError when it is used up. */
  reserve(size: number): number {
    const start = this.#used;
    const end = start + Math.ceil(size / ALIGNMENT) * ALIGNMENT;
    if (end > this.bytes.byteLength) throw new RangeError(`no ${size} bytes left in packet memory`);
    this.#used = end;
    return start;
  }

  /** Moves bytes within the block; the two places may overlap. */
  copy(from: number, to: number, length: number): void {
    this.#vectors.copy(to, from, length);
  }

  /** The sum of words of 16 bits, each with its low byte first. @param length a multiple of VECTOR, up to 64 KiB. */
  addUp(at: number, length: number): number {
    return this.#vectors.addUp(at, length);
  }
}
