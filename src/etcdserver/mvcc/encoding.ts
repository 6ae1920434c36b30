/**
 * The answers that are large or many, encoded by hand: lists of keys, and events that go to every watcher. The
 * general encoder walks a description of the message for each field, which for 10,000 keys takes longer than
 * reading them. Field numbers are those of kv.proto, mvcc.proto and watch.proto; a test compares both encoders.
 *
 * protobuf: a field is `number << 3 | type`, then a varint (type 0) or a length and bytes (type 2). Fields that
 * have their default value are left out.
 */
import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import type { Selection } from '../kv/selection.ts';
import type { Kv } from '../sqlite/tables.ts';

/** A message that is encoded already. */
export class Encoded {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}

/** @param message encoded, or what its fields are. */
export function bytesOf(schema: DescMessage, message: object): Uint8Array {
  if (message instanceof Encoded) return message.bytes;
  return toBinary(schema, create(schema, message as MessageInitShape<DescMessage>));
}

export interface ResponseHeader {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly revision: bigint;
  readonly raftTerm: bigint;
}

export interface Event {
  readonly type: 'put' | 'delete';
  readonly kv: Kv;
  readonly prevKv: Kv | undefined;
}

const VARINT = 0;
const BYTES = 2;
/** A varint of 64 bits, and the tag and length of a field. */
const MOST_NUMBER = 10;
const MOST_TAG = 6;
/** At most this, besides key and value, is a KeyValue: four numbers and two lengths. */
const KV_OVERHEAD = 4 * (1 + MOST_NUMBER) + 2 * MOST_TAG;
const HEADER_BYTES = 4 * (1 + MOST_NUMBER);

export function encodeRange(header: ResponseHeader, { kvs, more, count }: Selection): Encoded {
  const size = kvs.reduce((sum, kv) => sum + MOST_TAG + sizeOf(kv), 0);
  const writer = new MessageWriter(HEADER_BYTES + size + 2 * (1 + MOST_NUMBER) + MOST_TAG);
  writer.nested(1, inner => writeHeader(inner, header));
  for (const kv of kvs) writer.nested(2, inner => writeKv(inner, kv));
  writer.number(3, more ? 1n : 0n);
  writer.number(4, count);
  return new Encoded(writer.finish());
}

/** The answer to a put. */
export function encodePut(header: ResponseHeader, prevKv: Kv | undefined): Encoded {
  const size = prevKv === undefined ? 0 : MOST_TAG + sizeOf(prevKv);
  const writer = new MessageWriter(MOST_TAG + HEADER_BYTES + size);
  writer.nested(1, inner => writeHeader(inner, header));
  if (prevKv !== undefined) writer.nested(2, inner => writeKv(inner, prevKv));
  return new Encoded(writer.finish());
}

/** One event of a watch response, which is the same for every watcher. */
export function encodeEvent({ type, kv, prevKv }: Event): Buffer {
  const writer = new MessageWriter(4 * MOST_TAG + sizeOf(kv) + (prevKv === undefined ? 0 : sizeOf(prevKv)));
  writer.nested(11, event => {
    event.number(1, type === 'delete' ? 1n : 0n);
    event.nested(2, inner => writeKv(inner, kv));
    if (prevKv !== undefined) event.nested(3, inner => writeKv(inner, prevKv));
  });
  return writer.finish();
}

/** @param events what `encodeEvent` made */
export function encodeWatch(
  header: ResponseHeader,
  watchId: bigint,
  fragment: boolean,
  events: readonly Buffer[],
): Encoded {
  const size = events.reduce((sum, event) => sum + event.byteLength, 0);
  const writer = new MessageWriter(HEADER_BYTES + MOST_TAG + 2 * (1 + MOST_NUMBER) + size);
  writer.nested(1, inner => writeHeader(inner, header));
  writer.number(2, watchId);
  writer.number(7, fragment ? 1n : 0n);
  for (const event of events) writer.raw(event);
  return new Encoded(writer.finish());
}

function writeHeader(
  writer: MessageWriter,
  { clusterId, memberId, revision, raftTerm }: ResponseHeader,
): void {
  writer.number(1, clusterId);
  writer.number(2, memberId);
  writer.number(3, revision);
  writer.number(4, raftTerm);
}

function writeKv(writer: MessageWriter, kv: Kv): void {
  writer.bytes(1, kv.key);
  writer.number(2, kv.createRevision);
  writer.number(3, kv.modRevision);
  writer.number(4, kv.version);
  writer.bytes(5, kv.value);
  writer.number(6, kv.lease);
}

function sizeOf(kv: Kv): number {
  return KV_OVERHEAD + kv.key.byteLength + kv.value.byteLength;
}

/** Writes into a buffer that is known to be large enough. */
class MessageWriter {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(most: number) {
    this.#bytes = Buffer.allocUnsafe(most);
  }

  finish(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  number(field: number, value: bigint): void {
    if (value === 0n) return;
    this.#varint((field << 3) | VARINT);
    if (value > 0n && value <= MAX_SAFE) return this.#varint(Number(value));
    // int64 in two's complement: a negative number has ten bytes.
    for (let rest = BigInt.asUintN(64, value); ; rest >>= 7n) {
      const last = rest < 0x80n;
      this.#bytes[this.#at++] = Number(rest & 0x7fn) | (last ? 0 : 0x80);
      if (last) return;
    }
  }

  bytes(field: number, value: Uint8Array): void {
    if (value.byteLength === 0) return;
    this.#varint((field << 3) | BYTES);
    this.#varint(value.byteLength);
    this.raw(value);
  }

  raw(value: Uint8Array): void {
    this.#bytes.set(value, this.#at);
    this.#at += value.byteLength;
  }

  /** A message in the message. Its length comes first and is known last. */
  nested(field: number, write: (writer: this) => void): void {
    this.#varint((field << 3) | BYTES);
    // Almost every message is shorter than 128 bytes or shorter than 16 KiB; when the guess is wrong, it moves.
    const start = this.#at + 2;
    this.#at = start;
    write(this);
    const length = this.#at - start;
    const width = varintWidth(length);
    if (width !== 2) this.#bytes.copyWithin(start - 2 + width, start, this.#at);
    this.#at = start - 2;
    this.#varint(length);
    this.#at += length;
  }

  #varint(value: number): void {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#bytes[this.#at++] = (rest % 0x80) | 0x80;
    this.#bytes[this.#at++] = rest;
  }
}

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

function varintWidth(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;
}
