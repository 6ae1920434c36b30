/**
 * A longer filter, written with labels instead of counted jumps. Instructions work on a number (the accumulator), an
 * offset (the index register) and sixteen places to keep numbers in; jumps lead forward only. A load beyond the end of
 * the frame drops it.
 */
import { type FilterInstruction, instruction } from './socket-filter.ts';

/** BPF_MAXINSNS of include/uapi/linux/bpf_common.h. */
const MOST_INSTRUCTIONS = 4096;

type Step = FilterInstruction | { readonly label: string } | { readonly jump: string };

/** Sizes of a load: BPF_W, BPF_H, BPF_B. */
const SIZES = { word: 0x00, half: 0x08, byte: 0x10 } as const;

export class FilterProgram {
  readonly #steps: Step[] = [];

  #add(code: number, k = 0, jt = 0, jf = 0): this {
    this.#steps.push(instruction(code, k, jt, jf));
    return this;
  }

  /** number = what is at `offset + k`. */
  load(size: keyof typeof SIZES, k: number): this {
    return this.#add(0x40 | SIZES[size], k);
  }

  /** number = what the kernel knows of the frame: LINK_TYPE, ... */
  loadFact(fact: number): this {
    return this.#add(0x20, fact);
  }

  /** number = a constant. */
  set(value: number): this {
    return this.#add(0x00, value);
  }

  /** number = the one that was kept. */
  recall(place: number): this {
    return this.#add(0x60, place);
  }

  keepIn(place: number): this {
    return this.#add(0x02, place);
  }

  or(bits: number): this {
    return this.#add(0x44, bits);
  }

  and(bits: number): this {
    return this.#add(0x54, bits);
  }

  shiftLeft(bits: number): this {
    return this.#add(0x64, bits);
  }

  shiftRight(bits: number): this {
    return this.#add(0x74, bits);
  }

  setOffset(value: number): this {
    return this.#add(0x01, value);
  }

  /** offset = offset + bytes; the number is lost. */
  advance(bytes: number): this {
    return this.#add(0x87).#add(0x04, bytes).#add(0x07);
  }

  /** offset = offset + number. */
  advanceByNumber(): this {
    return this.#add(0x0c).#add(0x07);
  }

  /** A name for the next instruction. Each is used once. */
  label(label: string): this {
    this.#steps.push({ label });
    return this;
  }

  jump(label: string): this {
    this.#steps.push({ jump: label });
    return this;
  }

  ifEqual(value: number, label: string): this {
    return this.#add(0x15, value, 0, 1).jump(label);
  }

  unlessEqual(value: number, label: string): this {
    return this.#add(0x15, value, 1, 0).jump(label);
  }

  ifAtLeast(value: number, label: string): this {
    return this.#add(0x35, value, 0, 1).jump(label);
  }

  ifAnyBitOf(bits: number, label: string): this {
    return this.#add(0x45, bits, 0, 1).jump(label);
  }

  unlessAnyBitOf(bits: number, label: string): this {
    return this.#add(0x45, bits, 1, 0).jump(label);
  }

  /** Ends the filter. @param bytes how much of the frame is kept; 0 drops it */
  end(bytes: number): this {
    return this.#add(0x06, bytes);
  }

  /** @throws RangeError for a jump back or to nowhere, and for a program that is too long */
  build(): FilterInstruction[] {
    const places = new Map<string, number>();
    let length = 0;
    for (const step of this.#steps) {
      if ('label' in step) places.set(step.label, length);
      else length++;
    }
    if (length > MOST_INSTRUCTIONS) throw new RangeError(`a filter of ${length} instructions is too long`);
    const built: FilterInstruction[] = [];
    for (const step of this.#steps) {
      if ('label' in step) continue;
      if ('jump' in step)
        built.push(instruction(0x05, distance(places.get(step.jump), built.length, step.jump)));
      else built.push(step);
    }
    return built;
  }
}

function distance(to: number | undefined, from: number, label: string): number {
  if (to === undefined || to <= from) throw new RangeError(`a filter cannot jump to ${label} from ${from}`);
  return to - from - 1;
}
