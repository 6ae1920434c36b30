/**
 * Programs for the kernel's virtual machine, written instruction by instruction with names for places, fields and helpers:
 *
 *     new Assembler().load(R7, R1, 0, 8).jumpIf(R7, '==', 0, 'end').call('ktime_get_ns')
 *       .label('end').move(R0, 0).exit().finish()
 */
import { type CallSite, callSite, placeOfCall } from './call-site.ts';
import { HELPERS, type Helper } from './helpers.ts';
import type {
  ArithmeticKind,
  Bits,
  Instruction,
  JumpComparison,
  Operand,
  Register,
  Width,
} from './instructions.ts';
import {
  arithmetic,
  atomicAdd,
  call,
  encodeInstructions,
  exit,
  FP,
  jump,
  jumpIf,
  load,
  loadMap,
  loadMapValue,
  loadNumber,
  R1,
  R2,
  R3,
  store,
  toBigEndian,
} from './instructions.ts';
import type { LayoutField } from './memory-layout.ts';

/** What a program refers to a map by. */
export interface MapReference {
  readonly fd: number;
}

/** A program that can be loaded. */
export interface ProgramText {
  readonly bytes: Uint8Array;
  /** Where in the source an instruction was written: `src/inspect/drops/drop-program.ts:96`. */
  placeOf(instruction: number): string | undefined;
}

const WIDTHS: ReadonlySet<number> = new Set([1, 2, 4, 8]);

export class Assembler {
  /** Jumps have 0 for their offset until `finish`. */
  readonly #instructions: Instruction[] = [];
  readonly #sites: CallSite[] = [];
  readonly #labels = new Map<string, number>();
  /** Index of a jump -> its label. */
  readonly #jumps = new Map<number, string>();

  move(to: Register, value: Operand, bits: Bits = 64): this {
    return this.arithmetic('move', to, value, bits);
  }
  add(to: Register, value: Operand, bits: Bits = 64): this {
    return this.arithmetic('add', to, value, bits);
  }
  subtract(to: Register, value: Operand, bits: Bits = 64): this {
    return this.arithmetic('subtract', to, value, bits);
  }
  and(to: Register, value: Operand, bits: Bits = 64): this {
    return this.arithmetic('and', to, value, bits);
  }
  or(to: Register, value: Operand, bits: Bits = 64): this {
    return this.arithmetic('or', to, value, bits);
  }
  xor(to: Register, value: Operand, bits: Bits = 64): this {
    return this.arithmetic('xor', to, value, bits);
  }
  shiftLeft(to: Register, value: Operand, bits: Bits = 64): this {
    return this.arithmetic('shiftLeft', to, value, bits);
  }
  shiftRight(to: Register, value: Operand, bits: Bits = 64): this {
    return this.arithmetic('shiftRight', to, value, bits);
  }
  arithmetic(kind: ArithmeticKind, to: Register, value: Operand, bits: Bits = 64): this {
    return this.#add(arithmetic(kind, to, value, bits));
  }
  toBigEndian(to: Register, bits: 16 | 32 | 64): this {
    return this.#add(toBigEndian(to, bits));
  }

  load(to: Register, base: Register, offset: number, width: Width): this {
    return this.#add(load(to, base, offset, width));
  }
  store(base: Register, offset: number, value: Operand, width: Width): this {
    return this.#add(store(base, offset, value, width));
  }
  /** @param at where the struct begins, from `base`. @throws RangeError for a field that no register holds */
  loadField(to: Register, base: Register, field: LayoutField, at = 0): this {
    return this.load(to, base, at + field.offset, widthOf(field));
  }
  /** @param at where the struct begins, from `base`. @throws RangeError for a field that no register holds */
  storeField(base: Register, field: LayoutField, value: Operand, at = 0): this {
    return this.store(base, at + field.offset, value, widthOf(field));
  }
  /** Adds to memory that other processors change too. */
  atomicAdd(base: Register, offset: number, value: Register, width: 4 | 8): this {
    return this.#add(atomicAdd(base, offset, value, width, false));
  }
  /** The same; `value` becomes what was there before. */
  atomicFetchAdd(base: Register, offset: number, value: Register, width: 4 | 8): this {
    return this.#add(atomicAdd(base, offset, value, width, true));
  }
  loadMap(to: Register, map: MapReference): this {
    return this.#add(...loadMap(to, map.fd));
  }
  /** The address of the value of an array that has one. */
  loadMapValue(to: Register, map: MapReference, offset = 0): this {
    return this.#add(...loadMapValue(to, map.fd, offset));
  }
  /** A number of 64 bits. */
  loadNumber(to: Register, value: bigint): this {
    return this.#add(...loadNumber(to, value));
  }

  call(helper: Helper): this {
    return this.#add(call(HELPERS[helper]));
  }
  exit(): this {
    return this.#add(exit());
  }

  /** A name for the next instruction. @throws Error for one that is taken */
  label(name: string): this {
    if (this.#labels.has(name)) throw new Error(`two labels ${JSON.stringify(name)} in a program`);
    this.#labels.set(name, this.#instructions.length);
    return this;
  }
  jump(label: string): this {
    this.#jumps.set(this.#instructions.length, label);
    return this.#add(jump(0));
  }
  jumpIf(left: Register, comparison: JumpComparison, right: Operand, label: string, bits: Bits = 64): this {
    this.#jumps.set(this.#instructions.length, label);
    return this.#add(jumpIf(left, comparison, right, bits));
  }

  /** Sets bytes of the stack to 0. @param offset from FP; both are multiples of 8 */
  zero(offset: number, length: number): this {
    for (let at = 0; at < length; at += 8) this.store(FP, offset + at, 0, 8);
    return this;
  }

  /** Copies `length` bytes by the largest steps that fit, with what is in `scratch` lost. */
  copy(
    from: readonly [Register, number],
    to: readonly [Register, number],
    length: number,
    scratch: Register,
  ): this {
    for (let done = 0; done < length; ) {
      const width = ([8, 4, 2, 1] as const).find(step => step <= length - done) ?? 1;
      this.load(scratch, from[0], from[1] + done, width).store(to[0], to[1] + done, scratch, width);
      done += width;
    }
    return this;
  }

  /** Copies memory of the kernel to the stack; zeros where there is none. Forgets R0 to R5. @param to offset from FP */
  readKernel(to: number, length: number, base: Register, offset: number): this {
    this.move(R3, base).add(R3, offset).move(R1, FP).add(R1, to).move(R2, length);
    return this.call('probe_read_kernel');
  }

  /** @throws Error for a jump to a label that there is none of; RangeError */
  finish(): ProgramText {
    const instructions = this.#instructions.map((instruction, index) => {
      const label = this.#jumps.get(index);
      if (label === undefined) return instruction;
      const target = this.#labels.get(label);
      if (target === undefined) throw new Error(`no label ${JSON.stringify(label)} in the program`);
      return { ...instruction, offset: target - index - 1 };
    });
    const sites = this.#sites;
    return {
      bytes: encodeInstructions(instructions),
      placeOf: instruction => placeOfCall(sites[instruction] ?? {}),
    };
  }

  #add(...instructions: readonly Instruction[]): this {
    const site = callSite(this.#add);
    for (const instruction of instructions) {
      this.#instructions.push(instruction);
      this.#sites.push(site);
    }
    return this;
  }
}

function widthOf({ size }: LayoutField): Width {
  if (!WIDTHS.has(size)) throw new RangeError(`no register holds a field of ${size} bytes`);
  return size as Width;
}
