/**
 * Structs of memory that programs and this process share, declared once: programs use their offsets, this process reads
 * and writes them.
 *
 *     const PAIR = new MemoryLayout('pair', { local: 'be32', port: 'be16', zero: 2, until: 'u64' });
 *     program.loadField(R1, R7, PAIR.at.until);     PAIR.decode(bytes).port
 */
import { HOST_IS_LITTLE } from '../base/bytes.ts';
import { CodecError } from '../base/errors.ts';

/** An integer in the host's byte order, one in the network's, or that many bytes as they are. */
export type FieldType = 'u8' | 'u16' | 'u32' | 'u64' | 'be16' | 'be32' | number;

export interface LayoutField {
  /** Bytes from the start of the struct. */
  readonly offset: number;
  readonly size: number;
}

type FieldValue<Type extends FieldType> = Type extends number
  ? Uint8Array
  : Type extends 'u64'
    ? bigint
    : number;
export type LayoutValue<Types extends Readonly<Record<string, FieldType>>> = {
  -readonly [Name in keyof Types]: FieldValue<Types[Name]>;
};

const SIZES = { u8: 1, u16: 2, u32: 4, u64: 8, be16: 2, be32: 4 } as const;

export class MemoryLayout<const Types extends Readonly<Record<string, FieldType>>> {
  readonly name: string;
  /** Bytes, with nothing between fields nor after the last. */
  readonly size: number;
  readonly at: { readonly [Name in keyof Types]: LayoutField };
  readonly #types: Types;
  readonly #View: new (
    bytes: Uint8Array,
  ) => object;

  /** @throws RangeError for an integer that is not at a multiple of its size: the verifier refuses it in a map's value */
  constructor(name: string, types: Types) {
    this.name = name;
    this.#types = types;
    const at: Record<string, LayoutField> = {};
    let offset = 0;
    for (const [field, type] of Object.entries(types)) {
      const size = typeof type === 'number' ? type : SIZES[type];
      if (typeof type !== 'number' && offset % size !== 0)
        throw new RangeError(`${name}.${field}: ${type} at ${offset}, which is no multiple of ${size}`);
      at[field] = { offset, size };
      offset += size;
    }
    this.at = at as { [Name in keyof Types]: LayoutField };
    this.size = offset;
    this.#View = viewOf(types, at);
  }

  /** What is not given is 0. @throws RangeError for bytes of another length */
  encode(values: Partial<LayoutValue<Types>>): Uint8Array {
    const bytes = new Uint8Array(this.size);
    const view = new DataView(bytes.buffer);
    for (const [name, value] of Object.entries<number | bigint | Uint8Array | undefined>(values)) {
      if (value === undefined) continue;
      const { offset, size } = this.at[name] ?? missing(this.name, name);
      if (typeof value === 'bigint') view.setBigUint64(offset, value, HOST_IS_LITTLE);
      else if (typeof value === 'number') setNumber(view, this.#types[name] ?? size, offset, value);
      else if (value.byteLength === size) bytes.set(value, offset);
      else throw new RangeError(`${this.name}.${name}: want ${size} bytes, got ${value.byteLength}`);
    }
    return bytes;
  }

  /**
   * Reads each field when it is asked for, which is much faster where few of many are. Bytes of fields are not copied.
   * @throws CodecError for fewer bytes than the struct has
   */
  view(bytes: Uint8Array): Readonly<LayoutValue<Types>> {
    this.#want(bytes);
    return new this.#View(bytes) as LayoutValue<Types>;
  }

  /** Bytes of fields are copies. @throws CodecError for fewer bytes than the struct has */
  decode(bytes: Uint8Array): LayoutValue<Types> {
    this.#want(bytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const values: Record<string, number | bigint | Uint8Array> = {};
    for (const [name, type] of Object.entries(this.#types)) {
      const { offset, size } = this.at[name] ?? missing(this.name, name);
      values[name] =
        typeof type === 'number' ? bytes.slice(offset, offset + size) : readInteger(view, type, offset);
    }
    return values as LayoutValue<Types>;
  }

  #want({ byteLength }: Uint8Array): void {
    if (byteLength < this.size) throw new CodecError(this.name, 0, `${this.size} bytes`, `${byteLength}`);
  }
}

/** A class with a getter for each field: the accessors are made once, not for each value. */
function viewOf(
  types: Readonly<Record<string, FieldType>>,
  at: Readonly<Record<string, LayoutField>>,
): new (
  bytes: Uint8Array,
) => object {
  class View {
    readonly bytes: Uint8Array;
    readonly view: DataView;
    constructor(bytes: Uint8Array) {
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
  }
  for (const [name, { offset, size }] of Object.entries(at)) {
    const type = types[name] ?? size;
    Object.defineProperty(View.prototype, name, {
      get(this: View) {
        return typeof type === 'number'
          ? this.bytes.subarray(offset, offset + size)
          : readInteger(this.view, type, offset);
      },
    });
  }
  return View;
}

function setNumber(view: DataView, type: FieldType, offset: number, value: number): void {
  if (type === 'u8') view.setUint8(offset, value);
  else if (type === 'u16' || type === 'be16') view.setUint16(offset, value, type === 'u16' && HOST_IS_LITTLE);
  else view.setUint32(offset, value, type === 'u32' && HOST_IS_LITTLE);
}

function readInteger(view: DataView, type: Exclude<FieldType, number>, offset: number): number | bigint {
  if (type === 'u8') return view.getUint8(offset);
  if (type === 'u64') return view.getBigUint64(offset, HOST_IS_LITTLE);
  if (type === 'u16' || type === 'be16') return view.getUint16(offset, type === 'u16' && HOST_IS_LITTLE);
  return view.getUint32(offset, type === 'u32' && HOST_IS_LITTLE);
}

function missing(struct: string, field: string): never {
  throw new RangeError(`${struct} has no field ${field}`);
}
