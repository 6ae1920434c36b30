/**
 * Which L2 networks are on the disk of this host. Their links say whose they are only to who knows the network, so there
 * is a record of it before anything of it is made, and a later run removes what was deleted while no agent ran.
 */
import type { Segment, SegmentsSnapshot } from '../../subnet/segment/segment.ts';
import type { EventReporter } from '../reports.ts';

export interface SegmentRecordParts {
  /** Those of the last run. */
  readonly former: readonly Segment[];
  /** Writes to the disk of this host what the store has, as it is known now. */
  readonly saveKeys: () => Promise<void>;
  /** Deletes links of networks that are gone, if this host has made them; yields their names. */
  readonly removeLinks: (segments: readonly Segment[]) => AsyncIterable<string>;
  readonly events: EventReporter;
}

export class SegmentRecord {
  readonly #parts: SegmentRecordParts;
  #former: readonly Segment[];
  /** Ids. */
  #recorded: ReadonlySet<string>;

  constructor(parts: SegmentRecordParts) {
    this.#parts = parts;
    this.#former = parts.former;
    this.#recorded = new Set(parts.former.map(({ id }) => id));
  }

  has({ id }: Segment): boolean {
    return this.#recorded.has(id);
  }

  /** Those of the snapshot are recorded afterwards. */
  async add({ segments }: SegmentsSnapshot): Promise<void> {
    const ids = Array.from(segments.values(), ({ segment }) => segment.id);
    if (ids.some(id => !this.#recorded.has(id))) {
      // A disk that is full is reported by who writes the file, and stops no network.
      await this.#parts.saveKeys().catch(() => undefined);
    }
    this.#recorded = new Set(ids);
  }

  /** Removes what was deleted while no agent ran. */
  async removeFormer({ segments }: SegmentsSnapshot): Promise<void> {
    if (this.#former.length === 0) return;
    const ids = new Set(Array.from(segments.values(), ({ segment }) => segment.id));
    const gone = this.#former.filter(({ id }) => !ids.has(id));
    this.#former = [];
    for await (const name of this.#parts.removeLinks(gone)) {
      this.#parts.events.add('info', 'state-repaired', `removed: the former link ${name}`, { link: name });
    }
  }
}
