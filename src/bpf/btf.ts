/**
 * BTF: how a kernel describes its own types (Documentation/bpf/btf.rst, include/uapi/linux/btf.h). Programs here are
 * made for the kernel that runs: where a member of a struct is, and what the values of an enum are called, is looked up.
 *
 *     header: magic u16, version u8, flags u8, header length u32, types at and length u32, strings at and length u32
 *     type: name u32, info u32 (count 16 bits, kind 5 bits from bit 24, flag bit 31), size or type u32, what the kind adds
 */
import { HOST_IS_LITTLE } from '../base/bytes.ts';
import { CodecError } from '../base/errors.ts';
import { BpfError } from './errors.ts';

const MAGIC = 0xeb9f;
const HEADER_SIZE = 24;
const TYPE_SIZE = 12;

/** include/uapi/linux/btf.h; numbers without a name here are skipped by their size. */
const KIND = {
  pointer: 2,
  struct: 4,
  union: 5,
  enum: 6,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  functionPrototype: 13,
  typeTag: 18,
} as const;

/** By kind: bytes that follow a type, and bytes for each of its count. */
const FIXED: Readonly<Record<number, number>> = { 1: 4, 3: 12, 14: 4, 17: 4 };
const PER_ITEM: Readonly<Record<number, number>> = { 4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12 };
const LAST_KIND = 19;

const ALIASES: ReadonlySet<number> = new Set([
  KIND.typedef,
  KIND.volatile,
  KIND.const,
  KIND.restrict,
  KIND.typeTag,
]);
/** Structs without a name in each other, and names for names: a damaged file may have a circle of them. */
const MOST_DEPTH = 32;

interface BtfType {
  readonly at: number;
  readonly name: number;
  readonly kind: number;
  readonly count: number;
  /** Of a struct: offsets of members share their word with the size of a bit field. */
  readonly flag: boolean;
  readonly type: number;
}

export class Btf {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #strings: { readonly at: number; readonly end: number };
  /** Where each type is, by its id; 0 is void. */
  readonly #types: number[] = [0];

  /** @throws CodecError */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.byteLength < HEADER_SIZE || this.#u16(0) !== MAGIC)
      throw new CodecError('BTF', 0, `magic 0x${MAGIC.toString(16)}`, `${bytes.byteLength} other bytes`);
    const header = this.#u32(4);
    const types = this.#section(header, 8);
    this.#strings = this.#section(header, 16);
    for (let at = types.at; at < types.end; ) {
      const next = at + TYPE_SIZE;
      if (next > types.end) throw new CodecError('BTF', at, 'a type', `${types.end - at} bytes left`);
      this.#types.push(at);
      const info = this.#u32(at + 4);
      const kind = (info >>> 24) & 0x1f;
      if (kind === 0 || kind > LAST_KIND) throw new CodecError('BTF', at + 4, 'a kind', `${kind}`);
      at = next + (FIXED[kind] ?? 0) + (PER_ITEM[kind] ?? 0) * (info & 0xffff);
      if (at > types.end)
        throw new CodecError('BTF', next, 'items of a type', `${types.end - next} bytes left`);
    }
  }

  /**
   * Bytes from the start of a struct to a member, through structs that are members themselves: `sock`,
   * `__sk_common`, `skc_net`.
   *
   * @throws BpfError NO_TYPE
   */
  offsetOf(struct: string, ...path: readonly string[]): number {
    let type = this.#named(struct, KIND.struct);
    let offset = 0;
    for (const name of path) {
      const member = this.#member(type, name, MOST_DEPTH);
      if (member === undefined) throw noType(`member ${[struct, ...path].join('.')}`);
      offset += member.offset;
      type = this.#resolve(member.type);
    }
    return offset;
  }

  /** Names by value. @throws BpfError NO_TYPE */
  enumNames(name: string): Map<number, string> {
    const { at, count } = this.#type(this.#named(name, KIND.enum));
    return new Map(
      Array.from({ length: count }, (_, index) => {
        const item = at + TYPE_SIZE + index * 8;
        return [this.#u32(item + 4), this.#string(this.#u32(item))];
      }),
    );
  }

  /** How many parameters the function has that a typedef is a pointer to. @throws BpfError NO_TYPE */
  parameterCount(typedef: string): number {
    const pointer = this.#type(this.#resolve(this.#named(typedef, KIND.typedef)));
    const prototype = pointer.kind === KIND.pointer ? this.#type(this.#resolve(pointer.type)) : pointer;
    if (prototype.kind !== KIND.functionPrototype) throw noType(`function ${typedef}`);
    return prototype.count;
  }

  #member(id: number, wanted: string, depth: number): { offset: number; type: number } | undefined {
    const { at, kind, count, flag } = this.#type(id);
    if ((kind !== KIND.struct && kind !== KIND.union) || depth === 0) return undefined;
    for (let index = 0; index < count; index++) {
      const item = at + TYPE_SIZE + index * 12;
      const [name, type, where] = [this.#u32(item), this.#u32(item + 4), this.#u32(item + 8)];
      const offset = (flag ? where & 0xffffff : where) / 8;
      if (name === 0) {
        const inside = this.#member(this.#resolve(type), wanted, depth - 1);
        if (inside !== undefined) return { offset: offset + inside.offset, type: inside.type };
      } else if (Number.isInteger(offset) && this.#string(name) === wanted) return { offset, type };
    }
    return undefined;
  }

  /** The type behind names and qualifiers. */
  #resolve(id: number): number {
    let type = id;
    for (let depth = 0; depth < MOST_DEPTH; depth++) {
      const { kind, type: next } = this.#type(type);
      if (!ALIASES.has(kind)) return type;
      type = next;
    }
    throw new CodecError('BTF', this.#types[id] ?? 0, 'a type behind names', 'a circle of names');
  }

  #named(name: string, kind: number): number {
    const wanted = this.#stringAt(name);
    const id = this.#types.findIndex(
      (at, index) => index > 0 && this.#u32(at) === wanted && this.#kind(at) === kind,
    );
    if (wanted === undefined || id < 0) throw noType(name);
    return id;
  }

  #kind(at: number): number {
    return (this.#u32(at + 4) >>> 24) & 0x1f;
  }

  #type(id: number): BtfType {
    if (id === 0) return { at: 0, name: 0, kind: 0, count: 0, flag: false, type: 0 };
    const at = this.#types[id];
    if (at === undefined)
      throw new CodecError('BTF', 0, `at most ${this.#types.length - 1} types`, `type ${id}`);
    const info = this.#u32(at + 4);
    return {
      at,
      name: this.#u32(at),
      kind: (info >>> 24) & 0x1f,
      count: info & 0xffff,
      flag: info >>> 31 === 1,
      type: this.#u32(at + 8),
    };
  }

  /** Offset of a whole string in the section of strings. */
  #stringAt(text: string): number | undefined {
    const { at, end } = this.#strings;
    const found = Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + at, end - at).indexOf(
      `\0${text}\0`,
    );
    return found < 0 ? undefined : found + 1;
  }

  #string(offset: number): string {
    const start = this.#strings.at + offset;
    const end = this.#bytes.indexOf(0, start);
    if (end < 0 || end >= this.#strings.end)
      throw new CodecError('BTF', start, 'a string that ends', 'one that does not');
    return new TextDecoder().decode(this.#bytes.subarray(start, end));
  }

  #section(header: number, at: number): { at: number; end: number } {
    const start = header + this.#u32(at);
    const end = start + this.#u32(at + 4);
    if (end > this.#bytes.byteLength)
      throw new CodecError('BTF', at, `a section within ${this.#bytes.byteLength} bytes`, `one up to ${end}`);
    return { at: start, end };
  }

  #u16(at: number): number {
    return this.#view.getUint16(at, HOST_IS_LITTLE);
  }
  #u32(at: number): number {
    return this.#view.getUint32(at, HOST_IS_LITTLE);
  }
}

const noType = (what: string) => new BpfError('NO_TYPE', `the kernel has no ${what}`);
