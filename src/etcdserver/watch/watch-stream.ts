/**
 * One stream of watches: its watchers, those of them that are behind, and how they catch up. One turn of the event
 * loop gives each stream one page of history.
 */

import { contains, type KeyRange } from '../kv/range.ts';
import { type Event, encodeEvent } from '../mvcc/encoding.ts';
import type { KeyChange, Mvcc } from '../mvcc/mvcc.ts';
import { positionOf } from '../sqlite/schema.ts';
import type { HistoryRow, Kv } from '../sqlite/tables.ts';
import type { WatcherIndex } from './watcher-index.ts';

/** An event for watchers; all watchers of a change share one. */
export class WatchEvent implements Event {
  readonly type: KeyChange['type'];
  readonly kv: Kv;
  readonly prevKv: Kv | undefined;
  #encoded: Buffer | undefined;

  constructor(type: KeyChange['type'], kv: Kv, prevKv: Kv | undefined) {
    this.type = type;
    this.kv = kv;
    this.prevKv = prevKv;
  }

  /** Its part of a response, made when it is first asked for. */
  get encoded(): Buffer {
    this.#encoded ??= encodeEvent(this);
    return this.#encoded;
  }
}

export interface WatchOptions {
  readonly id: bigint;
  readonly range: KeyRange;
  /** The first revision to deliver. */
  readonly from: bigint;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly prevKv: boolean;
  /** Events of one revision may be split over several responses. */
  readonly fragment: boolean;
  readonly progress: boolean;
}

/** Where the events of a stream's watchers go. */
export interface WatchSink {
  /** Whether the stream takes another response now; when it does not, it calls `WatchStream.resume` later. */
  readonly writable: boolean;
  events(watcher: WatchOptions, revision: bigint, events: readonly WatchEvent[]): void;
  /** Everything up to `revision` has been sent; `id` undefined: for all watchers of the stream. */
  progress(id: bigint | undefined, revision: bigint): void;
  /** The watcher is gone: history before `compacted` is. */
  compacted(id: bigint, compacted: bigint): void;
  /** The history cannot be read: the stream is over. */
  failed(error: unknown): void;
}

export interface Watcher extends WatchOptions {
  readonly stream: WatchStream;
  /** Everything before this revision has been handed over. */
  next: bigint;
  live: boolean;
  /** Something was handed over since the last progress report. */
  active: boolean;
}

/** Rows of history, and bytes of them, read at once for one watcher; clients take messages of 4 MiB. */
const PAGE = 1000;
const PAGE_BYTES = 1024 * 1024;

export class WatchStream {
  /** Knows the newest revision that may be delivered. */
  readonly #hub: { readonly revision: bigint };
  readonly #mvcc: Mvcc;
  readonly #index: WatcherIndex<Watcher>;
  readonly #sink: WatchSink;
  readonly #onClose: () => void;
  readonly #watchers = new Map<bigint, Watcher>();
  readonly #behind = new Set<Watcher>();
  #nextId = 0n;
  #progressAsked = false;
  #catchingUp: NodeJS.Immediate | undefined;

  constructor(
    hub: { readonly revision: bigint },
    mvcc: Mvcc,
    index: WatcherIndex<Watcher>,
    sink: WatchSink,
    onClose: () => void,
  ) {
    this.#hub = hub;
    this.#mvcc = mvcc;
    this.#index = index;
    this.#sink = sink;
    this.#onClose = onClose;
  }

  get size(): number {
    return this.#watchers.size;
  }

  has(id: bigint): boolean {
    return this.#watchers.has(id);
  }

  /** An id that no watcher of this stream has. */
  freeId(): bigint {
    while (this.#watchers.has(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }

  /** Begins to deliver changes of `options.range`; the id must be free. Events follow in a later turn at the earliest. */
  add(options: WatchOptions): void {
    const live = options.from > this.#hub.revision;
    const watcher = { ...options, stream: this, next: options.from, live, active: false };
    this.#watchers.set(options.id, watcher);
    this.#index.add(watcher);
    if (live) return;
    this.#behind.add(watcher);
    this.resume();
  }

  /** @returns whether there was such a watcher. */
  cancel(id: bigint): boolean {
    const watcher = this.#watchers.get(id);
    if (watcher === undefined) return false;
    this.#watchers.delete(id);
    this.#behind.delete(watcher);
    this.#index.delete(watcher);
    return true;
  }

  /** Answers with a progress report once every watcher of the stream has caught up. */
  askProgress(): void {
    this.#progressAsked = true;
    this.#answerProgress();
  }

  /** The stream takes more: goes on with the watchers that are behind. */
  resume(): void {
    if (this.#behind.size === 0 && !this.#progressAsked) return;
    this.#catchingUp ??= setImmediate(() => {
      this.#catchingUp = undefined;
      try {
        this.#catchUp();
      } catch (error) {
        this.#sink.failed(error);
      }
    });
  }

  close(): void {
    clearImmediate(this.#catchingUp);
    for (const id of this.#watchers.keys()) this.cancel(id);
    this.#onClose();
  }

  /** One commit's events for a live watcher. */
  deliver(watcher: Watcher, revision: bigint, events: readonly WatchEvent[]): void {
    watcher.next = revision;
    if (!this.#sink.writable) {
      watcher.live = false;
      this.#behind.add(watcher);
      return;
    }
    this.#send(watcher, revision, events);
    watcher.next = revision + 1n;
  }

  reportProgress(): void {
    for (const watcher of this.#watchers.values()) {
      const quiet = watcher.progress && watcher.live && !watcher.active;
      watcher.active = false;
      if (quiet && this.#sink.writable) this.#sink.progress(watcher.id, this.#hub.revision);
    }
  }

  #send(watcher: Watcher, revision: bigint, events: readonly WatchEvent[]): void {
    watcher.active = true;
    this.#sink.events(watcher, revision, events);
  }

  /** One page for each watcher that is behind, as long as the stream takes it. */
  #catchUp(): void {
    for (const watcher of this.#behind) {
      if (!this.#sink.writable) return;
      this.#replayPage(watcher);
    }
    this.#answerProgress();
    if (this.#behind.size > 0 && this.#sink.writable) this.resume();
  }

  #replayPage(watcher: Watcher): void {
    const compacted = this.#mvcc.compactedRevision;
    if (watcher.next < compacted) {
      this.cancel(watcher.id);
      this.#sink.compacted(watcher.id, compacted);
      return;
    }
    const { rows, end } = this.#page(watcher.next);
    const events = rows.filter(row => concerns(watcher, row)).map(row => this.#eventOf(watcher, row));
    if (events.length > 0) this.#send(watcher, this.#hub.revision, events);
    watcher.next = end;
    if (end <= this.#hub.revision) return;
    watcher.live = true;
    this.#behind.delete(watcher);
  }

  /** Complete revisions from `from` on, and the revision to go on with. */
  #page(from: bigint): { readonly rows: readonly HistoryRow[]; readonly end: bigint } {
    const { revision } = this.#hub;
    for (let times = 1; ; times *= 2) {
      const found = this.#mvcc.history(positionOf(from), times * PAGE, times * PAGE_BYTES);
      const rows = found.rows.filter(row => row.modRevision <= revision);
      if (found.complete || rows.length < found.rows.length) return { rows, end: revision + 1n };
      // The last revision of a page may be cut; a revision is delivered completely or not at all.
      const last = rows.at(-1)?.modRevision ?? from;
      const complete = rows.filter(row => row.modRevision < last);
      if (complete.length > 0) return { rows: complete, end: last };
    }
  }

  #eventOf(watcher: Watcher, row: HistoryRow): WatchEvent {
    const { value, position: _, ...rest } = row;
    const prevKv = watcher.prevKv ? this.#mvcc.stateAt(row.key, row.modRevision - 1n) : undefined;
    return new WatchEvent(value === undefined ? 'delete' : 'put', { ...rest, value: value ?? EMPTY }, prevKv);
  }

  #answerProgress(): void {
    if (!this.#progressAsked || this.#behind.size > 0 || !this.#sink.writable) return;
    this.#progressAsked = false;
    this.#sink.progress(undefined, this.#hub.revision);
  }
}

const EMPTY = new Uint8Array();

/** Whether a watcher wants changes of this type. */
export function wants(watcher: WatchOptions, type: KeyChange['type']): boolean {
  return type === 'put' ? !watcher.noPut : !watcher.noDelete;
}

function concerns(watcher: WatchOptions, row: HistoryRow): boolean {
  return contains(watcher.range, row.key) && wants(watcher, row.value === undefined ? 'delete' : 'put');
}
