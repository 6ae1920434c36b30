/**
 * SQLite's write-ahead log as a file (sqlite.org/fileformat2.html, section 4): whether it is intact up to a position.
 *
 *     header   magic, version, page size, number of checkpoints, salt 1, salt 2, checksum
 *     frame    page number, size of the database, salt 1, salt 2, checksum; then the page
 *     ...
 *
 * A checksum covers everything before it, so the checksum of the last frame stands for the whole log. SQLite takes
 * the first wrong one for the end of the log, and would drop every write behind a damaged frame without a word.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { isCode } from '../../base/errors.ts';

/** The end of a commit in the log. All numbers have 32 bits. */
export interface LogPosition {
  /** Frames up to there; 0: nothing in the log is needed, the database file has everything. */
  readonly frames: number;
  /** Salt 1 grows by one each time the log starts over, which it does when the database file has everything. */
  readonly salt1: number;
  readonly salt2: number;
  /** The two halves of the checksum. */
  readonly sum1: number;
  readonly sum2: number;
}

export const NOTHING: LogPosition = { frames: 0, salt1: 0, salt2: 0, sum1: 0, sum2: 0 };

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
/** The lowest bit of the magic number: checksums are of big-endian numbers. */
const MAGIC = 0x377f_0682;
/** Frames read at once. */
const BATCH = 256;
/** Half of what a salt can be: further ahead than this is behind. */
const AHEAD = 2 ** 31;

/**
 * What is wrong with `path`, which is to hold everything that was written up to `needed`: `is missing`.
 * @returns undefined when it holds that, or need not any more.
 */
export function logProblem(path: string, needed: LogPosition): string | undefined {
  if (needed.frames === 0) return undefined;
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return 'is missing';
    throw error;
  }
  try {
    return problemIn(file, needed);
  } finally {
    closeSync(file);
  }
}

function problemIn(file: number, needed: LogPosition): string | undefined {
  const header = readAt(file, 0, HEADER_BYTES);
  if (header.byteLength < HEADER_BYTES) return `is cut short, to ${header.byteLength} bytes`;
  const magic = header.getUint32(0);
  const sum = new Checksum((magic & 1) === 0);
  sum.add(header, 0, 24);
  if ((magic & ~1) >>> 0 !== MAGIC || !sum.is(header.getUint32(24), header.getUint32(28))) {
    return 'has a damaged header';
  }
  const ahead = (header.getUint32(16) - needed.salt1) >>> 0;
  if (ahead > 0 && ahead < AHEAD) return undefined;
  const isNext = (frame: DataView, at: number) =>
    frame.getUint32(at + 8) === needed.salt1 && frame.getUint32(at + 12) === needed.salt2;
  const frameBytes = FRAME_HEADER_BYTES + header.getUint32(8);
  for (let done = 0; done < needed.frames; ) {
    const count = Math.min(BATCH, needed.frames - done);
    const frames = readAt(file, HEADER_BYTES + done * frameBytes, count * frameBytes);
    for (let at = 0; at < count * frameBytes; at += frameBytes, done++) {
      const where = `at page ${done + 1} of the ${needed.frames} that were acknowledged`;
      if (at + frameBytes > frames.byteLength) return `is cut short ${where}`;
      sum.add(frames, at, 8);
      sum.add(frames, at + FRAME_HEADER_BYTES, frameBytes - FRAME_HEADER_BYTES);
      if (!isNext(frames, at) || !sum.is(frames.getUint32(at + 16), frames.getUint32(at + 20))) {
        return `is damaged ${where}`;
      }
    }
  }
  return sum.is(needed.sum1, needed.sum2) ? undefined : 'belongs to another database';
}

/** Fewer bytes where the file ends. */
function readAt(file: number, position: number, length: number): DataView {
  const buffer = new Uint8Array(length);
  return new DataView(buffer.buffer, 0, readSync(file, buffer, 0, length, position));
}

/** SQLite's own: two sums, each of which takes the other in. */
class Checksum {
  readonly #littleEndian: boolean;
  #first = 0;
  #second = 0;

  constructor(littleEndian: boolean) {
    this.#littleEndian = littleEndian;
  }

  add(bytes: DataView, offset: number, length: number): void {
    let first = this.#first;
    let second = this.#second;
    for (let at = offset; at < offset + length; at += 8) {
      first = (first + bytes.getUint32(at, this.#littleEndian) + second) | 0;
      second = (second + bytes.getUint32(at + 4, this.#littleEndian) + first) | 0;
    }
    this.#first = first;
    this.#second = second;
  }

  is(first: number, second: number): boolean {
    return this.#first >>> 0 === first && this.#second >>> 0 === second;
  }
}

/** The head of the index that SQLite keeps of its log in shared memory (sqlite.org/walformat.html, 2.1). */
const INDEX_HEAD_BYTES = 48;
const INDEX_VERSION = 3_007_000;

/**
 * Where the log ends, from the index beside it, which is there when the database has been read. SQLite's locks are on
 * that file, and closing any descriptor of it loses them: so this is closed after the database.
 */
export class LogIndex implements Disposable {
  readonly #path: string;
  #file: number | undefined;
  readonly #head = Buffer.alloc(INDEX_HEAD_BYTES);
  readonly #words = new Uint32Array(this.#head.buffer, this.#head.byteOffset, INDEX_HEAD_BYTES / 4);

  constructor(path: string) {
    this.#path = path;
  }

  /** The end of the newest commit. @throws Error when the index is of a SQLite that keeps it otherwise. */
  position(): LogPosition {
    this.#file ??= openSync(this.#path, 'r');
    readSync(this.#file, this.#head, 0, INDEX_HEAD_BYTES, 0);
    // Numbers have the byte order of the machine, but for the salts, which are copied from the log.
    const [version, , , , frames = 0, , sum1 = 0, sum2 = 0] = this.#words;
    if (version !== INDEX_VERSION) throw new Error(`SQLite keeps the index of its log in format ${version}`);
    return { frames, salt1: this.#head.readUInt32BE(32), salt2: this.#head.readUInt32BE(36), sum1, sum2 };
  }

  [Symbol.dispose](): void {
    if (this.#file !== undefined) closeSync(this.#file);
  }
}
