/** The payloads attributes are made of. Byte order is in the name: `u32` is the host's, `u32be` the network's. */
import type { Reader, Writer } from '../base/bytes.ts';
import { CodecError } from '../base/errors.ts';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import type { AttributeFields, AttributeTable, AttributeType, Encodable } from './attribute.ts';

function fixed<T>(
  size: number,
  write: (w: Writer, value: T) => void,
  read: (r: Reader) => T,
): AttributeType<T> {
  return {
    encode: write,
    decode(reader, length) {
      if (length !== size)
        throw new CodecError('netlink attribute', reader.offset, `${size} bytes`, `${length}`);
      return read(reader);
    },
  };
}

export const u8 = fixed<number>(
  1,
  (w, v) => w.u8(v),
  r => r.u8(),
);
export const u16 = fixed<number>(
  2,
  (w, v) => w.u16(v),
  r => r.u16(),
);
export const u16be = fixed<number>(
  2,
  (w, v) => w.u16be(v),
  r => r.u16be(),
);
export const u32 = fixed<number>(
  4,
  (w, v) => w.u32(v),
  r => r.u32(),
);
export const i32 = fixed<number>(
  4,
  (w, v) => w.i32(v),
  r => r.i32(),
);
export const u32be = fixed<number>(
  4,
  (w, v) => w.u32be(v),
  r => r.u32be(),
);
export const i32be = fixed<number>(
  4,
  (w, v) => w.u32be(v >>> 0),
  r => r.u32be() | 0,
);
export const u64be = fixed<bigint>(
  8,
  (w, v) => w.u64be(v),
  r => r.u64be(),
);

/** A byte that is 0 or not. */
export const bool = fixed<boolean>(
  1,
  (w, v) => w.u8(v ? 1 : 0),
  r => r.u8() !== 0,
);

/** True by being there. Some kernels announce such an attribute with a byte that says whether it is set. */
export const flag: AttributeType<boolean> = {
  encode: () => undefined,
  decode: (reader, length) => (length === 0 ? true : bool.decode(reader, length)),
  omit: value => !value,
};

export const bytes: AttributeType<Uint8Array> = {
  encode: (writer, value) => writer.bytes(value),
  decode: (reader, length) => reader.bytes(length),
};

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A string that ends with a NUL, which the sender may have left away. */
export const text: AttributeType<string> = {
  encode: (writer, value) => writer.bytes(encoder.encode(value)).u8(0),
  decode(reader, length) {
    const raw = reader.bytes(length);
    const end = raw.indexOf(0);
    return decoder.decode(end < 0 ? raw : raw.subarray(0, end));
  },
};

/** An address of either family, recognized by its length. */
export const ip: AttributeType<Ip> = {
  encode(writer, { key }) {
    if (typeof key === 'number') writer.u32be(key);
    else writer.u64be(key >> 64n).u64be(BigInt.asUintN(64, key));
  },
  decode(reader, length) {
    if (length === 4) return Ip.fromKey(reader.u32be());
    return length === 16 ? Ip.fromKey((reader.u64be() << 64n) | reader.u64be()) : undefined;
  },
};

/** An Ethernet address; other link layers have other lengths. */
export const mac: AttributeType<Mac> = {
  encode: (writer, { key }) => writer.u16be(Math.floor(key / 2 ** 32)).u32be(key % 2 ** 32),
  decode: (reader, length) =>
    length === 6 ? Mac.fromKey(reader.u16be() * 2 ** 32 + reader.u32be()) : undefined,
};

/** Attributes inside an attribute, whose table is only known from elsewhere in the message. */
export const nestedBytes: AttributeType<Uint8Array> = { ...bytes, nested: true };

/** Attributes inside an attribute. */
export function nested<F extends AttributeFields>(table: AttributeTable<F>): AttributeType<Encodable<F>> {
  return {
    nested: true,
    encode: (writer, values) => table.encode(writer, values),
    decode: (reader, length) => table.decode(reader, reader.offset + length),
  };
}
