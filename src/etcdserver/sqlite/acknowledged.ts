/**
 * What was acknowledged, in a small file beside the database: the newest revision, and the end of the write-ahead
 * log that holds it. A log that lost its end, and a database that was emptied, look like ones that were never
 * written; this file shows a start the difference.
 *
 * It is written after each fsync of the log and before the answers, so it never promises more than the disk has. It
 * is brought to the disk itself once a second: after a killed process it is exact, and after a power cut at most a
 * second old, which is a promise of a little less.
 *
 * Two sectors of the file take turns with the record, so that one may be torn or damaged. Numbers are little-endian:
 *
 *     0 turn  8 revision  16 frames  20 salt 1  24 salt 2  28 checksum 1  32 checksum 2  36 CRC-32 of these
 */
import { closeSync, constants, fdatasync, fdatasyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { isCode } from '../../base/errors.ts';
import { type LogPosition, NOTHING } from './write-ahead-log.ts';

export interface Acknowledged {
  /** 0n: nothing yet. */
  readonly revision: bigint;
  readonly log: LogPosition;
}

interface Recorded extends Acknowledged {
  /** Counts the records ever written. */
  readonly turn: bigint;
}

/** Of a store that has not answered anything. */
export const NOTHING_YET: Acknowledged = { revision: 0n, log: NOTHING };

const RECORD_BYTES = 40;
const SECTOR_BYTES = 512;
/** Between a record and its way to the disk, in milliseconds. */
const SYNC_MS = 1000;

const fileOf = (database: string) => `${database}-ack`;

/** @returns undefined when there is no such file, 'damaged' when both records in it are damaged. */
export function readAcknowledged(database: string): Recorded | 'damaged' | undefined {
  let file: Buffer;
  try {
    file = readFileSync(fileOf(database));
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
  const first = decode(file);
  const second = decode(file.subarray(SECTOR_BYTES));
  if (first === undefined || second === undefined) return first ?? second ?? 'damaged';
  return first.turn > second.turn ? first : second;
}

function decode(record: Buffer): Recorded | undefined {
  if (record.byteLength < RECORD_BYTES) return undefined;
  if (crc32(record.subarray(0, 36)) !== record.readUInt32LE(36)) return undefined;
  const turn = record.readBigUInt64LE(0);
  const [frames = 0, salt1 = 0, salt2 = 0, sum1 = 0, sum2 = 0] = [16, 20, 24, 28, 32].map(at =>
    record.readUInt32LE(at),
  );
  return { turn, revision: record.readBigUInt64LE(8), log: { frames, salt1, salt2, sum1, sum2 } };
}

/** The file, open for writing. */
export class AcknowledgedFile implements Disposable {
  readonly #file: number;
  readonly #bytes = Buffer.alloc(RECORD_BYTES);
  #turn: bigint;
  #syncing: NodeJS.Timeout | undefined;

  /** @param database its path; the file is made when it does not exist. */
  constructor(database: string) {
    const last = readAcknowledged(database);
    this.#turn = typeof last === 'object' ? last.turn : 0n;
    this.#file = openSync(fileOf(database), constants.O_RDWR | constants.O_CREAT, 0o600);
  }

  /** In the file when this returns; on the disk a second later. */
  write({ revision, log }: Acknowledged): void {
    const bytes = this.#bytes;
    bytes.writeBigUInt64LE(++this.#turn, 0);
    bytes.writeBigUInt64LE(revision, 8);
    bytes.writeUInt32LE(log.frames, 16);
    bytes.writeUInt32LE(log.salt1, 20);
    bytes.writeUInt32LE(log.salt2, 24);
    bytes.writeUInt32LE(log.sum1, 28);
    bytes.writeUInt32LE(log.sum2, 32);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 36)), 36);
    writeSync(this.#file, bytes, 0, RECORD_BYTES, Number(this.#turn & 1n) * SECTOR_BYTES);
    this.#syncing ??= setTimeout(() => {
      // A disk that fails here fails the log as well, and that is what counts.
      fdatasync(this.#file, () => (this.#syncing = undefined));
    }, SYNC_MS).unref();
  }

  /** On the disk when this returns, and what was recorded before is forgotten. */
  writeNow(record: Acknowledged): void {
    this.write(record);
    this.write(record);
    fdatasyncSync(this.#file);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#syncing);
    closeSync(this.#file);
  }
}
