/**
 * A query as it comes from whoever asks. Nothing of it is trusted: what is no query gets no answer at all, and what is wrong
 * as a query one that says so and is no longer than the query.
 *
 *      0      2       4       6       8       10      12
 *     +------+-------+-------+-------+-------+-------+---------------+--------------------+
 *     | id   | flags | 1     | 0     | 0     | count | the question  | OPT, if there is   |
 *     +------+-------+-------+-------+-------+-------+---------------+--------------------+
 */
import { Reader } from '../base/bytes.ts';
import { CodecError } from '../base/errors.ts';
import { HEADER, HEADER_FLAG, LEAST_UDP, MOST_UDP, OPCODE_SHIFT, RCODE, TYPE } from './constants.ts';
import { readName, skipName } from './domain-name.ts';

export interface DnsQuestion {
  readonly name: string;
  readonly type: number;
  readonly class: number;
}

/** What an asker states of itself (RFC 6891). */
export interface QueryOptions {
  readonly version: number;
  /** Bytes of UDP that it takes. */
  readonly size: number;
  /** It wants DNSSEC records (DO). */
  readonly wantsSignatures: boolean;
  /** Offset of `size` in the query. */
  readonly sizeAt: number;
}

export interface DnsQuery {
  readonly id: number;
  readonly flags: number;
  readonly question: DnsQuestion;
  /** Bytes of header and question. */
  readonly questionEnd: number;
  readonly options: QueryOptions | undefined;
  /** The query itself, without what is behind it. */
  readonly bytes: Uint8Array;
}

/** Why a query cannot be understood; the answer repeats its id and its kind. */
export interface WrongQuery {
  readonly id: number;
  readonly flags: number;
  readonly rcode: number;
}

/** Of additional records. Resolvers send one; a signature would be a second one. */
const MOST_ADDITIONAL = 4;

/** @returns undefined for what gets no answer: no header, or an answer itself, so that two servers never answer each other */
export function readQuery(bytes: Uint8Array): DnsQuery | WrongQuery | undefined {
  if (bytes.byteLength < HEADER) return undefined;
  const reader = new Reader(bytes, 'a query');
  const [id, flags] = [reader.u16be(), reader.u16be()];
  if ((flags & HEADER_FLAG.QR) !== 0) return undefined;
  if (((flags >> OPCODE_SHIFT) & 0xf) !== 0) return { id, flags, rcode: RCODE.NOTIMP };
  try {
    return { id, flags, ...readBody(reader, bytes) };
  } catch (error) {
    if (error instanceof CodecError) return { id, flags, rcode: RCODE.FORMERR };
    throw error;
  }
}

export const isWrong = (query: DnsQuery | WrongQuery): query is WrongQuery => 'rcode' in query;

/** Bytes of the largest answer over UDP. */
export function udpLimit({ options }: Pick<DnsQuery, 'options'>): number {
  return Math.min(MOST_UDP, Math.max(LEAST_UDP, options?.size ?? 0));
}

/** @throws CodecError */
function readBody(reader: Reader, bytes: Uint8Array): Omit<DnsQuery, 'id' | 'flags'> {
  const [questions, answers, authorities, additional] = [0, 0, 0, 0].map(() => reader.u16be());
  if (questions !== 1 || answers !== 0 || authorities !== 0 || (additional ?? 0) > MOST_ADDITIONAL) {
    throw new CodecError('a query', 4, 'one question', `${questions} and ${answers} records`);
  }
  const question = { name: readName(reader), type: reader.u16be(), class: reader.u16be() };
  const questionEnd = reader.offset;
  let options: QueryOptions | undefined;
  for (let left = additional ?? 0; left > 0; left--) {
    const start = reader.offset;
    skipName(reader);
    const isRoot = reader.offset === start + 1;
    const type = reader.u16be();
    const sizeAt = reader.offset;
    const size = reader.u16be();
    reader.skip(1);
    const version = reader.u8();
    const flags = reader.u16be();
    reader.skip(reader.u16be());
    if (type !== TYPE.OPT) continue;
    if (!isRoot || options !== undefined) throw new CodecError('a query', start, 'one OPT', 'another');
    options = { version, size, sizeAt, wantsSignatures: (flags & 0x8000) !== 0 };
  }
  return { question, questionEnd, options, bytes: bytes.subarray(0, reader.offset) };
}
