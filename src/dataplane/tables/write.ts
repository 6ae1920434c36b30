/** A change that is to be sent, and what to do with the kernel's answer. */
import { isCode } from '../../base/errors.ts';
import type { NetlinkError } from '../../netlink/errors.ts';
import type { Change } from '../../netlink/protocol.ts';
import type { Entry, Key } from './entry.ts';

export interface Write {
  readonly change: Change;
  /** @param error undefined when the kernel agreed. */
  settle(error: NetlinkError | undefined): void;
}

/** What a write needs of its table. */
interface Writable<Value extends Entry> {
  written(key: Key, value: Value | undefined): void;
  refused(key: Key, error: NetlinkError): void;
}

/** The answers that mean "it is not there", by which a removal has succeeded. */
const GONE = ['ENOENT', 'ESRCH', 'ENODEV', 'EADDRNOTAVAIL'];

/** The write of one entry, or its removal. */
export class EntryWrite<Value extends Entry> implements Write {
  readonly change: Change;
  readonly #table: Writable<Value>;
  readonly #key: Key;
  readonly #value: Value | undefined;

  /** @param value what the kernel holds afterwards; undefined for a removal. */
  constructor(table: Writable<Value>, change: Change, key: Key, value: Value | undefined) {
    this.#table = table;
    this.change = change;
    this.#key = key;
    this.#value = value;
  }

  settle(error: NetlinkError | undefined): void {
    const isDone = error === undefined || (this.#value === undefined && isCode(error, ...GONE));
    if (isDone) this.#table.written(this.#key, this.#value);
    else this.#table.refused(this.#key, error);
  }
}
