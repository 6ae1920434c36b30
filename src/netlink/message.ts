/**
 * Netlink messages (struct nlmsghdr, include/uapi/linux/netlink.h). A datagram holds any number of them:
 *
 *      0               4       6       8               12              16
 *     +---------------+-------+-------+---------------+---------------+------- - -
 *     | length        | type  | flags | sequence      | port          | payload
 *     +---------------+-------+-------+---------------+---------------+------- - -
 *
 * `length` counts the header; messages start at multiples of 4. A payload is a fixed struct followed by attributes:
 * MessageCodec.
 */
import { Reader, Writer } from '../base/bytes.ts';
import { CodecError } from '../base/errors.ts';
import type { AttributeFields, AttributeTable, Decoded, Encodable } from './attribute.ts';

export const HEADER_SIZE = 16;
const FLAGS_OFFSET = 6;

export interface Message {
  readonly type: number;
  /** NLM_F_*. */
  readonly flags: number;
  /** Answers carry the number of their request; announcements carry 0 or the number of the cause. */
  readonly sequence: number;
  readonly port: number;
  /** A view into the datagram: valid until its buffer is used again. */
  readonly payload: Uint8Array;
}

type OutgoingMessage = Pick<Message, 'type' | 'flags' | 'sequence'> & {
  readonly port?: number;
  readonly payload: Uint8Array | { write(writer: Writer): void };
};

/** Appends one message. Its payload is either there or written in place. */
export function writeMessage(
  writer: Writer,
  { type, flags, sequence, port = 0, payload }: OutgoingMessage,
): void {
  const start = writer.length;
  writer.u32(0).u16(type).u16(flags).u32(sequence).u32(port);
  if (payload instanceof Uint8Array) writer.bytes(payload);
  else payload.write(writer);
  writer.patchU32(start, writer.length - start);
  writer.align(4);
}

/** Replaces the flags of the message that begins at `start`. */
export function patchFlags(writer: Writer, start: number, flags: number): void {
  writer.patchU16(start + FLAGS_OFFSET, flags);
}

/** The messages of one datagram. @throws CodecError */
export function readMessages(datagram: Uint8Array): Message[] {
  const messages: Message[] = [];
  const reader = new Reader(datagram, 'netlink datagram');
  while (reader.remaining > 0) {
    const start = reader.offset;
    const length = reader.u32();
    if (length < HEADER_SIZE || length > datagram.byteLength - start) {
      throw new CodecError(
        'netlink message',
        start,
        `a length of 16 to ${datagram.byteLength - start}`,
        `${length}`,
      );
    }
    const [type, flags, sequence, port] = [reader.u16(), reader.u16(), reader.u32(), reader.u32()];
    const payload = datagram.subarray(start + HEADER_SIZE, start + length);
    messages.push({ type, flags, sequence, port, payload });
    reader.seek(Math.min(datagram.byteLength, start + ((length + 3) & ~3)));
  }
  return messages;
}

/** A fixed struct: what it needs of a reader and a writer. */
export interface Struct<H> {
  encode(writer: Writer, header: H): void;
  decode(reader: Reader): H;
}

/** Payload of one kind of message: struct and attributes. */
export class MessageCodec<H, F extends AttributeFields> {
  readonly #name: string;
  readonly #struct: Struct<H>;
  readonly #table: AttributeTable<F>;
  /** One for all messages: a buffer for each costs more than what is written into it. */
  readonly #scratch = new Writer(128);

  /** @param name for errors: `rtmsg`. */
  constructor(name: string, struct: Struct<H>, table: AttributeTable<F>) {
    this.#name = name;
    this.#struct = struct;
    this.#table = table;
  }

  encode(header: H, attributes: Encodable<F>): Uint8Array {
    this.write(this.#scratch.clear(), header, attributes);
    return this.#scratch.finish();
  }

  write(writer: Writer, header: H, attributes: Encodable<F>): void {
    this.#struct.encode(writer, header);
    this.#table.encode(writer, attributes);
  }

  /** @param keepsUnknown as of AttributeTable.decode. @throws CodecError */
  decode(payload: Uint8Array, keepsUnknown = true): { header: H; attributes: Decoded<F> } {
    return this.read(new Reader(payload, this.#name), payload.byteLength, keepsUnknown);
  }

  /** Reads up to `end`, an offset of the reader. */
  read(reader: Reader, end: number, keepsUnknown = true): { header: H; attributes: Decoded<F> } {
    const header = this.#struct.decode(reader);
    return { header, attributes: this.#table.decode(reader, end, keepsUnknown) };
  }
}
