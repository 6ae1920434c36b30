/**
 * The instruction set, as far as programs here need it (RFC 9669; include/uapi/linux/bpf.h and bpf_common.h):
 *
 *     opcode u8 | registers u8 (destination, source: 4 bits each) | offset s16 | immediate s32
 */
import { HOST_IS_LITTLE } from '../base/bytes.ts';

export const INSTRUCTION_SIZE = 8;

/** One of the eleven registers of the machine. */
export interface Register {
  readonly register: number;
}

const register = (number: number): Register => ({ register: number });
/** What a function returns. */
export const R0 = register(0);
/** R1 to R5: arguments of a call, which forgets them; R1 is the program's own argument. */
export const R1 = register(1);
export const R2 = register(2);
export const R3 = register(3);
export const R4 = register(4);
export const R5 = register(5);
/** R6 to R9: kept over calls. */
export const R6 = register(6);
export const R7 = register(7);
export const R8 = register(8);
export const R9 = register(9);
/** The end of the stack, 512 bytes that grow downwards. Read-only. */
export const FP = register(10);

/** A register's value, or a number of 32 bits that is extended by its sign. */
export type Operand = Register | number;
const isRegister = (operand: Operand): operand is Register => typeof operand === 'object';

/** Bytes of a value in memory. */
export type Width = 1 | 2 | 4 | 8;
/** Bits that an operation is on; one on 32 sets the upper half of its result to 0. */
export type Bits = 32 | 64;

/** RFC 9669, table 3: classes. */
const CLASS = { load: 0x00, loadFrom: 0x01, store: 0x02, storeFrom: 0x03 } as const;
const ARITHMETIC_CLASS = { 32: 0x04, 64: 0x07 } as const;
const JUMP_CLASS = { 32: 0x06, 64: 0x05 } as const;
/** Table 4: the operand is a register. */
const FROM_REGISTER = 0x08;
/** Table 5. Division and shift to the right are of numbers without a sign. */
const ARITHMETIC = {
  add: 0x00,
  subtract: 0x10,
  multiply: 0x20,
  divide: 0x30,
  or: 0x40,
  and: 0x50,
  shiftLeft: 0x60,
  shiftRight: 0x70,
  negate: 0x80,
  modulo: 0x90,
  xor: 0xa0,
  move: 0xb0,
  shiftRightSigned: 0xc0,
} as const;
export type ArithmeticKind = keyof typeof ARITHMETIC;
/** Section 4.2: BPF_END, to big endian. */
const TO_BIG_ENDIAN = 0xd8;
/** Table 8; with `s`, of numbers with a sign. `&`: they have a bit in common. */
export const COMPARISON = {
  '==': 0x10,
  '>': 0x20,
  '>=': 0x30,
  '&': 0x40,
  '!=': 0x50,
  's>': 0x60,
  's>=': 0x70,
  '<': 0xa0,
  '<=': 0xb0,
  's<': 0xc0,
  's<=': 0xd0,
} as const;
export type JumpComparison = keyof typeof COMPARISON;
/** Table 10 and 11: memory, memory that other processors change too, or 64 bits that follow. */
const MEMORY = 0x60;
const ATOMIC = 0xc0;
const WIDE = 0x18;
const WIDTH: Readonly<Record<Width, number>> = { 1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18 };
/** Table 12: what was there before is wanted, in the place of what is added. */
const FETCH = 0x01;
const CALL = 0x80;
const EXIT = 0x90;
/** Section 5.4: what the immediate of a wide load is, in the place of the source register. */
const MAP_DESCRIPTOR = 1;
const MAP_VALUE = 2;

export interface Instruction {
  readonly opcode: number;
  readonly destination?: Register;
  /** A number where it is a kind of immediate. */
  readonly source?: Register | number;
  readonly offset?: number;
  readonly immediate?: number;
}

export const arithmetic = (
  kind: ArithmeticKind,
  destination: Register,
  operand: Operand,
  bits: Bits,
): Instruction => ({
  destination,
  ...(isRegister(operand)
    ? { opcode: ARITHMETIC_CLASS[bits] | ARITHMETIC[kind] | FROM_REGISTER, source: operand }
    : { opcode: ARITHMETIC_CLASS[bits] | ARITHMETIC[kind], immediate: operand }),
});

/** Between the host's byte order and the network's; what is beyond `bits` becomes 0. */
export const toBigEndian = (destination: Register, bits: 16 | 32 | 64): Instruction => ({
  opcode: ARITHMETIC_CLASS[32] | TO_BIG_ENDIAN,
  destination,
  immediate: bits,
});

export const load = (destination: Register, base: Register, offset: number, width: Width): Instruction => ({
  opcode: CLASS.loadFrom | MEMORY | WIDTH[width],
  destination,
  source: base,
  offset,
});

export const store = (base: Register, offset: number, value: Operand, width: Width): Instruction => ({
  destination: base,
  offset,
  ...(isRegister(value)
    ? { opcode: CLASS.storeFrom | MEMORY | WIDTH[width], source: value }
    : { opcode: CLASS.store | MEMORY | WIDTH[width], immediate: value }),
});

/** @param fetch puts what was in memory into `value` */
export const atomicAdd = (
  base: Register,
  offset: number,
  value: Register,
  width: 4 | 8,
  fetch: boolean,
): Instruction => ({
  opcode: CLASS.storeFrom | ATOMIC | WIDTH[width],
  destination: base,
  source: value,
  offset,
  immediate: fetch ? FETCH : 0,
});

/** Two instructions' space: the second has the upper half of 64 bits, or the offset in a map's value. */
const wide = (
  destination: Register,
  source: number,
  [low, high]: readonly [number, number],
): Instruction[] => [
  { opcode: CLASS.load | WIDE, destination, source, immediate: low },
  { opcode: 0, immediate: high },
];

export const loadMap = (destination: Register, fd: number): readonly Instruction[] =>
  wide(destination, MAP_DESCRIPTOR, [fd, 0]);
/** The address of the only value of an array: no call is needed to find it. */
export const loadMapValue = (destination: Register, fd: number, offset: number): readonly Instruction[] =>
  wide(destination, MAP_VALUE, [fd, offset]);
export const loadNumber = (destination: Register, value: bigint): readonly Instruction[] =>
  wide(destination, 0, [Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n))]);

/** @param helper enum bpf_func_id. */
export const call = (helper: number): Instruction => ({ opcode: JUMP_CLASS[64] | CALL, immediate: helper });
export const exit = (): Instruction => ({ opcode: JUMP_CLASS[64] | EXIT });

/** @param offset instructions to pass over */
export const jump = (offset: number): Instruction => ({ opcode: JUMP_CLASS[64], offset });
export const jumpIf = (
  left: Register,
  comparison: JumpComparison,
  right: Operand,
  bits: Bits,
): Instruction => ({
  destination: left,
  ...(isRegister(right)
    ? { opcode: JUMP_CLASS[bits] | COMPARISON[comparison] | FROM_REGISTER, source: right }
    : { opcode: JUMP_CLASS[bits] | COMPARISON[comparison], immediate: right }),
});

/** @throws RangeError for a number that does not fit its field */
export function encodeInstructions(instructions: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(instructions.length * INSTRUCTION_SIZE);
  const view = new DataView(bytes.buffer);
  for (const [
    index,
    { opcode, destination, source = 0, offset = 0, immediate = 0 },
  ] of instructions.entries()) {
    const at = index * INSTRUCTION_SIZE;
    const [to, from] = [destination?.register ?? 0, isRegister(source) ? source.register : source];
    view.setUint8(at, opcode);
    view.setUint8(at + 1, HOST_IS_LITTLE ? to | (from << 4) : (to << 4) | from);
    view.setInt16(at + 2, inRange(offset, 16, 'offset'), HOST_IS_LITTLE);
    view.setInt32(at + 4, inRange(immediate, 32, 'immediate'), HOST_IS_LITTLE);
  }
  return bytes;
}

function inRange(value: number, bits: 16 | 32, what: string): number {
  const limit = 2 ** (bits - 1);
  if (!Number.isInteger(value) || value < -limit || value >= limit)
    throw new RangeError(`${what} ${value} has no place in ${bits} bits`);
  return value;
}
