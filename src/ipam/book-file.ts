/**
 * The file of one AddressBook: `<directory>/addresses-<id of the network>.json`. A directory that cannot be read or written
 * never keeps a container from its address: it is reported, and the book is kept in memory.
 */
import { readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isCode } from '../base/errors.ts';
import type { Segment } from '../subnet/segment/segment.ts';
import { removeUnfinished, writeFileAtomic } from '../sys/file.ts';
import { AddressBook } from './address-book.ts';

export interface OpenedBook {
  readonly book: AddressBook;
  /** Why what a former run knew is not in it. */
  readonly lost?: unknown;
}

export class BookFile {
  readonly path: string;
  readonly #segment: Segment;

  constructor(directory: string, segment: Segment) {
    this.path = join(directory, `addresses-${segment.id}.json`);
    this.#segment = segment;
  }

  /** What there is, or an empty book; a damaged file is kept beside, as evidence of what happened. */
  async open(): Promise<OpenedBook> {
    const empty = new AddressBook(this.#segment);
    await removeUnfinished(this.path);
    let text: string;
    try {
      text = await readFile(this.path, 'utf8');
    } catch (error) {
      return isCode(error, 'ENOENT') ? { book: empty } : { book: empty, lost: error };
    }
    try {
      const book = AddressBook.parse(text);
      return book.id === this.#segment.id ? { book } : { book: empty };
    } catch (error) {
      await rename(this.path, `${this.path}.damaged`).catch(() => undefined);
      return { book: empty, lost: error };
    }
  }

  /** @throws why it is not written */
  async save(book: AddressBook): Promise<void> {
    await writeFileAtomic(this.path, book.toText(), { mode: 0o600, directoryMode: 0o700 });
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true });
  }
}
