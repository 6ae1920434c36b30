/** Answers of our own: what is known of names, and what is wrong with a query. */
import { Writer, written } from '../base/bytes.ts';
import type { Ip } from '../base/ip.ts';
import { CLASS, HEADER_FLAG, MOST_UDP, OPCODE_SHIFT, RCODE, TYPE } from './constants.ts';
import { writeName, ZONE } from './domain-name.ts';
import { type DnsQuery, udpLimit, type WrongQuery } from './query.ts';

/** One record, of the name that was asked for. */
export type DnsRecord =
  | { readonly type: 'address'; readonly ip: Ip }
  | { readonly type: 'pointer'; readonly name: string }
  | { readonly type: 'soa' };

export interface DnsAnswer {
  readonly rcode: number;
  readonly records: readonly DnsRecord[];
  /** The zone that says there is nothing: the end of the name that was asked for, in labels' text. */
  readonly zone?: string;
}

/** Seconds. Containers come and go, and an answer of this host costs a fraction of a millisecond. */
const TTL = 5;
/** Bytes of OPT without content. */
const OPT_LENGTH = 11;
/** Of SOA: serial, refresh, retry, expire, and how long a negative answer is kept (RFC 2308). */
const TIMES = [1, 3600, 600, 86_400, TTL] as const;

/** @param limit bytes; what does not fit is left out, and the answer marked as truncated */
export function writeAnswer(query: DnsQuery, answer: DnsAnswer, limit = udpLimit(query)): Uint8Array {
  const { id, flags, questionEnd, options } = query;
  const writer = new Writer(512);
  const rcode = options !== undefined && options.version > 0 ? RCODE.BADVERS : answer.rcode;
  const isOwn = rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN;
  const records = isOwn ? answer.records.map(record => bytesOf(record)) : [];
  const authority = isOwn && answer.zone !== undefined ? [soaAt(query, answer.zone)] : [];
  const room = limit - questionEnd - (options === undefined ? 0 : OPT_LENGTH) - lengthOf(authority);
  const fitting = fit(records, room);
  const isCut = fitting.length < records.length;
  writer
    .u16be(id)
    .u16be(
      HEADER_FLAG.QR |
        (isOwn ? HEADER_FLAG.AA : 0) |
        (isCut ? HEADER_FLAG.TC : 0) |
        (flags & (HEADER_FLAG.RD | HEADER_FLAG.CD)) |
        HEADER_FLAG.RA |
        (rcode & 0xf),
    )
    .u16be(1)
    .u16be(fitting.length)
    .u16be(authority.length)
    .u16be(options === undefined ? 0 : 1)
    .bytes(query.bytes.subarray(12, questionEnd));
  for (const record of [...fitting, ...authority]) writer.bytes(record);
  if (options !== undefined) writeOptions(writer, rcode, options.wantsSignatures);
  return writer.finish();
}

/** The answer to what cannot be understood: a header, and not even the question. */
export function writeRefusal({ id, flags, rcode }: WrongQuery): Uint8Array {
  const kept = flags & ((0xf << OPCODE_SHIFT) | HEADER_FLAG.RD);
  const writer = new Writer(12).u16be(id).u16be(HEADER_FLAG.QR | kept | rcode);
  return writer.u32be(0).u32be(0).finish();
}

/** An answer of another server that is too long for the asker: it is told to ask over TCP. */
export function writeTruncated(query: DnsQuery, answer: Uint8Array): Uint8Array {
  const { id, questionEnd, options } = query;
  const flags = new DataView(answer.buffer, answer.byteOffset).getUint16(2) | HEADER_FLAG.TC;
  const writer = new Writer(512).u16be(id).u16be(flags).u16be(1).u16be(0).u16be(0);
  writer.u16be(options === undefined ? 0 : 1).bytes(query.bytes.subarray(12, questionEnd));
  if (options !== undefined) writeOptions(writer, 0, options.wantsSignatures);
  return writer.finish();
}

function writeOptions(writer: Writer, rcode: number, wantsSignatures: boolean): void {
  const flags = wantsSignatures ? 0x8000 : 0;
  writer
    .u8(0)
    .u16be(TYPE.OPT)
    .u16be(MOST_UDP)
    .u8(rcode >> 4)
    .u8(0)
    .u16be(flags)
    .u16be(0);
}

/** A pointer to the name in the question. */
const QUESTION_NAME = 0xc00c;

function bytesOf(record: DnsRecord, owner = QUESTION_NAME): Uint8Array {
  const data = written(writer => writeData(writer, record));
  return written(writer =>
    writer.u16be(owner).u16be(typeOf(record)).u16be(CLASS.IN).u32be(TTL).u16be(data.byteLength).bytes(data),
  );
}

function typeOf(record: DnsRecord): number {
  if (record.type === 'address') return record.ip.family === 'ipv4' ? TYPE.A : TYPE.AAAA;
  return record.type === 'pointer' ? TYPE.PTR : TYPE.SOA;
}

function writeData(writer: Writer, record: DnsRecord): void {
  if (record.type === 'address') writer.bytes(record.ip.bytes);
  else if (record.type === 'pointer') writeName(writer, record.name);
  else {
    writeName(writer, `ns.${ZONE}`);
    writeName(writer, `hostmaster.${ZONE}`);
    for (const number of TIMES) writer.u32be(number);
  }
}

/** Of the zone, whose name is the end of the question's. */
function soaAt({ question: { name }, questionEnd }: DnsQuery, zone: string): Uint8Array {
  // Behind the name are its final byte, type and class; before each label is its length.
  const nameEnd = questionEnd - 5;
  const isWhole = name === zone || zone === '';
  const owner = zone === '' ? nameEnd : isWhole ? 12 : nameEnd - zone.length - 1;
  return bytesOf({ type: 'soa' }, 0xc000 | owner);
}

function fit(records: readonly Uint8Array[], room: number): readonly Uint8Array[] {
  const fitting: Uint8Array[] = [];
  let left = room;
  for (const record of records) {
    left -= record.byteLength;
    if (left < 0) break;
    fitting.push(record);
  }
  return fitting;
}

const lengthOf = (parts: readonly Uint8Array[]) => parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
