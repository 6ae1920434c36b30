/**
 * From the responses of a watch to one update per revision. A response may hold several revisions, and a
 * large revision may come in several responses, all but the last of them marked as fragments.
 */
import type { Revision, StoreEvent, StoreUpdate } from '../store.ts';
import type { WatchResponse } from '../wire/generated/watch_pb.ts';
import { decodeStoreEvent, protocolViolation } from './codec.ts';

export class Batches {
  #next: Revision;
  #revision: Revision = 0n;
  #events: StoreEvent[] = [];

  /** @param next the first revision that has not been delivered yet */
  constructor(next: Revision) {
    this.#next = next;
  }

  /** Everything before this revision has been delivered. */
  get next(): Revision {
    return this.#next;
  }

  /** The updates that this response completes. @throws StoreError PROTOCOL */
  *take(response: WatchResponse): Generator<StoreUpdate> {
    for (const wireEvent of response.events) {
      const event = decodeStoreEvent(wireEvent, 'watch');
      const revision = event.type === 'put' ? event.kv.modRevision : event.modRevision;
      if (revision < this.#next) continue;
      if (revision < this.#revision) throw protocolViolation('watch', 'revisions out of order');
      if (revision > this.#revision) yield* this.#complete();
      this.#revision = revision;
      this.#events.push(event);
    }
    if (response.fragment) return;
    yield* this.#complete();
    // Without events it is a progress report, that everything up to its revision was delivered; or the first one, which
    // comes before the history it leaves open.
    const reached = response.header?.revision ?? 0n;
    const isProgress = response.events.length === 0 && !response.created;
    if (isProgress && reached >= this.#next) this.#next = reached + 1n;
  }

  *#complete(): Generator<StoreUpdate> {
    if (this.#events.length === 0) return;
    const update = { type: 'events', revision: this.#revision, events: this.#events } as const;
    this.#events = [];
    this.#next = this.#revision + 1n;
    yield update;
  }
}
