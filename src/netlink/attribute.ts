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

/** An attribute a table has no name for. */
export interface UnknownAttribute {
  /** As on the wire, flags (NLA_F_*) included. */
  readonly type: number;
  readonly payload: Uint8Array;
}

/** In the order of the message; empty in most objects. */
export type UnknownAttributes = readonly UnknownAttribute[];

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
export type AttributeFields = Readonly<Record<string, Field<any, boolean>>>;

type ValueOf<F> = F extends Field<infer T, infer Many> ? (Many extends true ? readonly T[] : T) : never;

/** What a table decodes to. */
export type Decoded<F extends AttributeFields> = { readonly [Key in keyof F]?: ValueOf<F[Key]> } & {
  readonly unknown: UnknownAttributes;
};

/** What a table encodes: undefined is as good as absent. */
export type Encodable<F extends AttributeFields> = {
  readonly [Key in keyof F]?: ValueOf<F[Key]> | undefined;
} & {
  readonly unknown?: UnknownAttributes | undefined;
};

/** Flag in the type field: this attribute holds attributes. */
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

type NamedField = AttributeFields[string] & { readonly name: string };

const HEADER = 4;
const NONE: UnknownAttributes = Object.freeze([]);

export class AttributeTable<F extends AttributeFields> {
  readonly #fields: AttributeFields;
  readonly #byId: readonly (NamedField | undefined)[];

  constructor(fields: F) {
    this.#fields = fields;
    const byId: (NamedField | undefined)[] = [];
    for (const [name, field] of Object.entries(fields)) byId[field.id] = { name, ...field };
    this.#byId = byId;
  }

  encode(writer: Writer, values: Encodable<F>): void {
    for (const name in values) {
      const value: unknown = values[name];
      const field = this.#fields[name];
      if (value === undefined || field === undefined) continue;
      if (field.many) for (const item of value as readonly unknown[]) writeField(writer, field, item);
      else writeField(writer, field, value);
    }
    for (const { type, payload } of values.unknown ?? NONE) {
      const start = begin(writer, type);
      writer.bytes(payload);
      end(writer, start);
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

  /**
   * Reads attributes up to `end`, an offset of the reader.
   * @param keepsUnknown false: without a copy of those that have no name here. @throws CodecError
   */
  decode(reader: Reader, end: number, keepsUnknown = true): Decoded<F> {
    const values: Record<string, unknown> = {};
    let unknown: UnknownAttribute[] | undefined;
    while (reader.offset < end) {
      const start = reader.offset;
      const length = end - start < HEADER ? 0 : reader.u16();
      if (length < HEADER || start + length > end) {
        throw new CodecError('netlink attribute', start, `a length of 4 to ${end - start}`, `${length}`);
      }
      const rawType = reader.u16();
      const field = this.#byId[rawType & NLA_TYPE_MASK];
      const value: unknown = field?.type.decode(reader, length - HEADER);
      if (field === undefined || value === undefined) {
        if (!keepsUnknown) {
          reader.seek(Math.min(end, start + ((length + 3) & ~3)));
          continue;
        }
        reader.seek(start + HEADER);
        (unknown ??= []).push({ type: rawType, payload: reader.bytes(length - HEADER) });
      } else if (field.many) {
        ((values[field.name] ??= []) as unknown[]).push(value);
      } else {
        values[field.name] = value;
      }
      reader.seek(Math.min(end, start + ((length + 3) & ~3)));
    }
    values['unknown'] = unknown ?? NONE;
    return values as Decoded<F>;
  }
}

export function attributes<const F extends AttributeFields>(fields: F): AttributeTable<F> {
  return new AttributeTable(fields);
}

function writeField<T>(writer: Writer, { id, type }: Field<T, boolean>, value: T): void {
  if (type.omit?.(value) === true) return;
  const start = begin(writer, type.nested ? id | NLA_F_NESTED : id);
  type.encode(writer, value);
  end(writer, start);
}

/** Writes the header of an attribute and returns where it is: `end` completes it. */
function begin(writer: Writer, type: number): number {
  const start = writer.length;
  writer.u16(0).u16(type);
  return start;
}

/** @throws RangeError when the attribute is too long for its header. */
function end(writer: Writer, start: number): void {
  const length = writer.length - start;
  if (length > 0xffff) throw new RangeError(`an attribute of ${length} bytes: 65535 is the most`);
  writer.patchU16(start, length);
  writer.align(4);
}
