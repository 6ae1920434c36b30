/**
 * The file of one AddressBook: `<directory>/addresses-<id of the network>.json`. A directory that cannot be read or written
 * never keeps a container from its address: it is reported, and the book is kept in memory.
 */
import { copyFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { Journal } from '../sys/journal.ts';
import { AddressBook } from './address-book.ts';
import { lineOfChange, linesOfBook, readBook } from './book-text.ts';

export interface OpenedBook {
  readonly book: AddressBook;
  /** Why what a former run knew is not in it, or not all of it. */
  readonly lost?: unknown;
}

export class BookFile {
  readonly path: string;
  readonly #network: { readonly name: string; readonly id: string };
  readonly #journal: Journal;
  #book: AddressBook;

  constructor(directory: string, network: { readonly name: string; readonly id: string }) {
    this.path = join(directory, `addresses-${network.id}.json`);
    this.#network = network;
    this.#book = new AddressBook(network);
    this.#journal = new Journal(this.path, () => linesOfBook(this.#book));
  }

  /**
   * What there is, without lines that cannot be read, or an empty book; a damaged file is kept beside, as evidence of what
   * happened.
   */
  async open(): Promise<OpenedBook> {
    try {
      const lines = await this.#journal.read();
      // It begins with a whole line, or it is none of ours.
      const isNew = lines.length === 0 && !this.#journal.isCut;
      const { book, unreadable } = isNew ? { book: this.#book } : readBook(lines);
      // Of an earlier version, or without its first line.
      if (lines.length === 0 || lines[0] !== linesOfBook(book)[0]) this.#journal.distrust();
      if (book.id === this.#network.id) this.#book = book;
      else this.#journal.distrust();
      if (unreadable === undefined) return { book: this.#book };
      this.#journal.distrust();
      await copyFile(this.path, this.#damaged).catch(() => undefined);
      return { book: this.#book, lost: unreadable };
    } catch (error) {
      this.#journal.distrust();
      await rename(this.path, this.#damaged).catch(() => undefined);
      return { book: this.#book, lost: error };
    }
  }

  get #damaged(): string {
    return `${this.path}.damaged`;
  }

  /** What was changed of the opened book. @throws Error why it is not written */
  async save(): Promise<void> {
    await this.#journal.add(this.#book.takeChanges().map(lineOfChange));
  }

  async remove(): Promise<void> {
    await this.#journal.remove();
  }

  async close(): Promise<void> {
    await this.#journal[Symbol.asyncDispose]();
  }
}
