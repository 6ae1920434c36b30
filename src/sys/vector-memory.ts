/**
 * Memory whose bytes are copied and added up by the vector instructions of the processor, which JavaScript reaches
 * through WebAssembly alone. The module is written here, instruction by instruction (WebAssembly 2.0, section 5).
 */

/** Bytes that `addUp` takes at a time. */
export const VECTOR = 16;

const PAGE = 65_536;

export interface VectorMemory {
  readonly buffer: ArrayBuffer;
  /** The two places may overlap. */
  copy(to: number, from: number, length: number): void;
  /** The sum of all words of 16 bits, each with its low byte first. @param length a multiple of VECTOR, up to 64 KiB. */
  addUp(at: number, length: number): number;
}

/** @param size in bytes; the memory may be larger. */
export function openVectorMemory(size: number): VectorMemory {
  const pages = Math.ceil(size / PAGE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { buffer } = memory;
  try {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes(pages)), {
      m: { m: memory },
    });
    const { copy, add } = exports as unknown as {
      readonly copy: VectorMemory['copy'];
      readonly add: (at: number, end: number) => number;
    };
    return { buffer, copy, addUp: (at, length) => add(at, at + length) >>> 0 };
  } catch (error) {
    // A processor without such instructions, or a Node.js that may not compile (--jitless).
    if (!(error instanceof WebAssembly.CompileError)) throw error;
    return scalarMemory(buffer);
  }
}

/** The same without vector instructions. */
export function scalarMemory(buffer: ArrayBuffer): VectorMemory {
  const [bytes, view] = [new Uint8Array(buffer), new DataView(buffer)];
  return {
    buffer,
    copy: (to, from, length) => void bytes.copyWithin(to, from, from + length),
    addUp(at, length) {
      let sum = 0;
      for (let position = at; position < at + length; position += 2) sum += view.getUint16(position, true);
      return sum;
    },
  };
}

const I32 = 0x7f;
const V128 = 0x7b;
const FUNCTION = 0x60;
const NO_RESULT_BLOCK = 0x40;

const LOCAL_GET = 0x20;
const LOCAL_SET = 0x21;
const I32_CONST = 0x41;
const I32_ADD = 0x6a;
const I32_GE_U = 0x4f;
const BLOCK = 0x02;
const LOOP = 0x03;
const BR = 0x0c;
const BR_IF = 0x0d;
const END = 0x0b;
const MEMORY_COPY = [0xfc, 0x0a, 0, 0];
/** Any alignment, no offset. */
const V128_LOAD = [0xfd, 0x00, 0, 0];
/** Each two neighbours of eight words of 16 bits become one of four sums of 32. */
const I32X4_EXTADD_PAIRWISE_I16X8_U = [0xfd, 0x7f];
const I32X4_ADD = [0xfd, 0xae, 0x01];
const extractLane = (lane: number) => [0xfd, 0x1b, lane];

function moduleBytes(pages: number): Uint8Array<ArrayBuffer> {
  const [at, end, sums] = [0, 1, 2];
  const add = [
    [BLOCK, NO_RESULT_BLOCK, LOOP, NO_RESULT_BLOCK],
    [LOCAL_GET, at, LOCAL_GET, end, I32_GE_U, BR_IF, 1],
    [LOCAL_GET, sums, LOCAL_GET, at, ...V128_LOAD, ...I32X4_EXTADD_PAIRWISE_I16X8_U, ...I32X4_ADD],
    [LOCAL_SET, sums],
    [LOCAL_GET, at, I32_CONST, VECTOR, I32_ADD, LOCAL_SET, at],
    [BR, 0, END, END],
    [LOCAL_GET, sums, ...extractLane(0)],
    ...[1, 2, 3].map(lane => [LOCAL_GET, sums, ...extractLane(lane), I32_ADD]),
    [END],
  ].flat();
  const copy = [LOCAL_GET, 0, LOCAL_GET, 1, LOCAL_GET, 2, ...MEMORY_COPY, END];
  const types = [
    [FUNCTION, ...vector([I32], [I32], [I32]), 0],
    [FUNCTION, ...vector([I32], [I32]), ...vector([I32])],
  ];
  const memory = [...name('m'), ...name('m'), 2, 1, ...unsigned(pages), ...unsigned(pages)];
  return Uint8Array.from(
    [
      [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      section(1, vector(...types)),
      section(2, vector(memory)),
      section(3, vector([0], [1])),
      section(7, vector([...name('copy'), 0, 0], [...name('add'), 0, 1])),
      section(10, vector(sized([0, ...copy]), sized([...vector([1, V128]), ...add]))),
    ].flat(),
  );
}

const section = (id: number, content: readonly number[]) => [id, ...sized(content)];
const sized = (content: readonly number[]) => [...unsigned(content.length), ...content];
const vector = (...items: readonly (readonly number[])[]) => [...unsigned(items.length), ...items.flat()];
const name = (text: string) => sized([...new TextEncoder().encode(text)]);

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}
