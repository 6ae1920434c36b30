/**
 * A capture file while it grows. It holds whole blocks at any moment, so it can be read whenever its writer ends, also
 * by SIGKILL; when the disk is full, what was begun is taken back.
 */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { Writer } from '../../base/bytes.ts';
import { isCode, messageOf } from '../../base/errors.ts';
import { packageVersion } from '../../base/version.ts';
import { CommandError } from '../../console/errors.ts';
import {
  type PcapngInterface,
  type PcapngPacket,
  writeEnhancedPacket,
  writeInterface,
  writeSectionHeader,
} from './blocks.ts';

/** Blocks are collected up to this many bytes. */
const MOST_COLLECTED = 1 << 20;

export class CaptureFile implements Disposable {
  readonly path: string;
  readonly #fd: number;
  readonly #writer = new Writer(64 << 10);
  /** Bytes of the file, all in whole blocks. */
  #length = 0;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /**
   * @param force replaces a file that exists. @throws CommandError
   */
  static create(path: string, interfaces: readonly PcapngInterface[], { force = false } = {}): CaptureFile {
    const file = new CaptureFile(path, openNew(path, force));
    writeSectionHeader(file.#writer, `tulle ${packageVersion()}`);
    for (const one of interfaces) writeInterface(file.#writer, one);
    try {
      file.flush();
      return file;
    } catch (error) {
      closeSync(file.#fd);
      throw error;
    }
  }

  /** @throws CommandError when the file cannot be written. */
  add(packet: PcapngPacket): void {
    writeEnhancedPacket(this.#writer, packet);
    if (this.#writer.length >= MOST_COLLECTED) this.flush();
  }

  /** Writes what was collected. @throws CommandError when the file cannot be written. */
  flush(): void {
    const bytes = this.#writer.view();
    try {
      for (let done = 0; done < bytes.byteLength; ) done += writeSync(this.#fd, bytes, done);
      this.#length += bytes.byteLength;
    } catch (error) {
      this.#takeBack();
      throw failed(this.path, error);
    } finally {
      this.#writer.clear();
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  #takeBack(): void {
    try {
      ftruncateSync(this.#fd, this.#length);
    } catch {
      // A pipe or a device: nothing can be taken back, and the error of the write is the one to show.
    }
  }
}

function openNew(path: string, force: boolean): number {
  try {
    // Frames may carry secrets.
    return openSync(path, force ? 'w' : 'wx', 0o600);
  } catch (error) {
    if (isCode(error, 'EEXIST'))
      throw new CommandError('NOT_NOW', `${path} exists`, 'give another name, or --force to replace it');
    throw failed(path, error);
  }
}

const failed = (path: string, error: unknown) =>
  new CommandError(
    'FAILED',
    `${path} cannot be written: ${messageOf(error)}`,
    'check its directory and the space that is left (df)',
    error,
  );
