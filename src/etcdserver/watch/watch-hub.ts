/**
 * Watches. A watcher is either live, and is given each commit as it happens, or behind, and is given the history
 * from where it stands until it has caught up.
 *
 *           create, start_revision in the past                 stream full
 *     ------------------------------------------> behind <--------------------- live
 *                                                    |                            ^
 *                                                    +----------------------------+
 *                                                       reached the newest revision
 *
 * Nothing is ever queued for a watcher: when its stream does not take more, the watcher falls behind and reads the
 * history later. So a slow client costs one number of memory, and delays no other. A watcher that is behind what a
 * compaction has removed is cancelled with that revision, as etcd does; the client lists again.
 */
import type { Commit, KeyChange, Mvcc } from '../mvcc/mvcc.ts';
import type { Kv } from '../sqlite/tables.ts';
import { WatchEvent, type Watcher, type WatchSink, WatchStream, wants } from './watch-stream.ts';
import { WatcherIndex } from './watcher-index.ts';

export class WatchHub {
  readonly #mvcc: Mvcc;
  readonly #index = new WatcherIndex<Watcher>();
  readonly #streams = new Set<WatchStream>();
  #revision: bigint;

  constructor(mvcc: Mvcc) {
    this.#mvcc = mvcc;
    this.#revision = mvcc.revision;
  }

  /** The newest revision that was published. What is newer may not be durable yet, and is not delivered. */
  get revision(): bigint {
    return this.#revision;
  }

  get streams(): number {
    return this.#streams.size;
  }

  get watchers(): number {
    let count = 0;
    for (const stream of this.#streams) count += stream.size;
    return count;
  }

  /** A stream of watches; the caller ends it with `close`. */
  open(sink: WatchSink): WatchStream {
    const stream = new WatchStream(this, this.#mvcc, this.#index, sink, () => this.#streams.delete(stream));
    this.#streams.add(stream);
    return stream;
  }

  /** Hands a durable commit to the streams it concerns. */
  publish({ revision, changes }: Commit): void {
    this.#revision = revision;
    const concerned = new Map<Watcher, WatchEvent[]>();
    for (const change of changes) {
      let short: WatchEvent | undefined;
      let full: WatchEvent | undefined;
      for (const watcher of this.#index.matching(change.kv.key)) {
        if (!watcher.live || revision < watcher.next || !wants(watcher, change.type)) continue;
        const events = concerned.get(watcher);
        const event = watcher.prevKv
          ? (full ??= new WatchEvent(change.type, change.kv, this.#before(change, revision)))
          : (short ??= new WatchEvent(change.type, change.kv, undefined));
        if (events === undefined) concerned.set(watcher, [event]);
        else events.push(event);
      }
    }
    for (const [watcher, events] of concerned) watcher.stream.deliver(watcher, revision, events);
  }

  /** The state before the revision, and not the one in the middle of it. */
  #before({ previous }: KeyChange, revision: bigint): Kv | undefined {
    return previous?.modRevision === revision ? this.#mvcc.stateAt(previous.key, revision - 1n) : previous;
  }

  /** Reports progress to the watchers that asked for it and have received nothing since the last call. */
  reportProgress(): void {
    for (const stream of this.#streams) stream.reportProgress();
  }
}
