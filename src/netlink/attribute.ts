/**
 * Netlink attributes (struct nlattr, include/uapi/linux/netlink.h), described by tables:
 *
 *      0       2       4
 *     +-------+-------+----------- - - ---+---------+
 *     | length| type  | payload           | padding |   length counts the 4 bytes of header, not the padding
 *     +-------+-------+----------- - - ---+---------+   to a multiple of 4
 *
 *     const addressAttributes = attributes({ local: one(IFA_LOCAL, ip), label: one(IFA_LABEL, text) });
 *
 * A table is decoder, encoder and static type in one. An attribute that has no name in its table is kept in
 * `unknown` and written back by the encoder. Absent attributes are absent properties; zero is a value.
 */
import { Reader, Writer } from '../base/bytes.ts';
import { CodecError } from '../base/errors.ts';
import type { UnknownAttribute } from './objects.ts';

/** How the payload of one attribute reads and writes. */
export interface AttributeType<T> {
  /** Writes the payload. */
  encode(writer: Writer, value: T): void;
  /**
   * Reads exactly `length` bytes, which the caller has checked to be there. undefined means "a form this type does
   * not express" (a link-layer address that is not Ethernet's); the attribute is then kept as an unknown one.
   */
  decode(reader: Reader, length: number): T | undefined;
  /** Holds attributes; marked so in the header (NLA_F_NESTED). */
  readonly nested?: true;
  /** A value for which nothing is written at all. */
  omit?(value: T): boolean;
}

export interface Field<T, Many extends boolean> {
  readonly id: number;
  readonly type: AttributeType<T>;
  readonly many: Many;
}

/** An attribute that occurs once; should it occur again, the last one counts, as in the kernel. */
export function one<T>(id: number, type: AttributeType<T>): Field<T, false> {
  return { id, type, many: false };
}

/** An attribute that is repeated; its values make an array. */
export function many<T>(id: number, type: AttributeType<T>): Field<T, true> {
  return { id, type, many: true };
}

// `any` in a constraint only: a field of whatever type.
// oxlint-disable-next-line typescript/no-explicit-any
export type Fields = Readonly<Record<string, Field<any, boolean>>>;

type ValueOf<F> = F extends Field<infer T, infer Many> ? (Many extends true ? readonly T[] : T) : never;

/** What a table decodes to. */
export type Decoded<F extends Fields> = { readonly [Key in keyof F]?: ValueOf<F[Key]> } & {
  readonly unknown: readonly UnknownAttribute[];
};

/** What a table encodes: undefined is as good as absent. */
export type Encodable<F extends Fields> = { readonly [Key in keyof F]?: ValueOf<F[Key]> | undefined } & {
  readonly unknown?: readonly UnknownAttribute[] | undefined;
};

/** Flag in the type field: this attribute holds attributes. */
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

const HEADER = 4;
const NONE: readonly UnknownAttribute[] = Object.freeze([]);

export class AttributeTable<F extends Fields> {
  readonly #fields: readonly (readonly [name: string, field: Fields[string]])[];
  readonly #byId: readonly (readonly [name: string, field: Fields[string]] | undefined)[];

  constructor(fields: F) {
    this.#fields = Object.entries(fields);
    const byId: (readonly [string, Fields[string]] | undefined)[] = [];
    for (const entry of this.#fields) byId[entry[1].id] = entry;
    this.#byId = byId;
  }

  encode(writer: Writer, values: Encodable<F>): void {
    for (const [name, { id, type, many: repeated }] of this.#fields) {
      const value: unknown = values[name];
      if (value === undefined) continue;
      for (const item of repeated ? (value as readonly unknown[]) : [value]) {
        if (type.omit?.(item) === true) continue;
        writeAttribute(writer, type.nested ? id | NLA_F_NESTED : id, () => type.encode(writer, item));
      }
    }
    for (const { type, payload } of values.unknown ?? NONE) {
      writeAttribute(writer, type, () => writer.bytes(payload));
    }
  }

  /** The attributes alone, as the payload of something else. */
  toBytes(values: Encodable<F>): Uint8Array {
    const writer = new Writer(64);
    this.encode(writer, values);
    return writer.finish();
  }

  /** @param what names the format in errors. @throws CodecError */
  fromBytes(payload: Uint8Array, what: string): Decoded<F> {
    return this.decode(new Reader(payload, what), payload.byteLength);
  }

  /** Reads attributes up to `end`, an offset of the reader. @throws CodecError */
  decode(reader: Reader, end: number): Decoded<F> {
    const values: Record<string, unknown> = {};
    let unknown: UnknownAttribute[] | undefined;
    while (reader.offset < end) {
      const start = reader.offset;
      const length = end - start < HEADER ? 0 : reader.u16();
      if (length < HEADER || start + length > end) {
        throw new CodecError('netlink attribute', start, `a length of 4 to ${end - start}`, `${length}`);
      }
      const rawType = reader.u16();
      const entry = this.#byId[rawType & NLA_TYPE_MASK];
      const value: unknown = entry?.[1].type.decode(reader, length - HEADER);
      if (entry === undefined || value === undefined) {
        reader.seek(start + HEADER);
        (unknown ??= []).push({ type: rawType, payload: reader.bytes(length - HEADER) });
      } else if (entry[1].many) {
        ((values[entry[0]] ??= []) as unknown[]).push(value);
      } else {
        values[entry[0]] = value;
      }
      reader.seek(Math.min(end, start + ((length + 3) & ~3)));
    }
    values['unknown'] = unknown ?? NONE;
    return values as Decoded<F>;
  }
}

export function attributes<const F extends Fields>(fields: F): AttributeTable<F> {
  return new AttributeTable(fields);
}

function writeAttribute(writer: Writer, type: number, payload: () => void): void {
  const start = writer.length;
  writer.u16(0).u16(type);
  payload();
  if (writer.length - start > 0xffff) throw new RangeError(`attribute ${type} is longer than 65535 bytes`);
  writer.patchU16(start, writer.length - start);
  writer.align(4);
}
