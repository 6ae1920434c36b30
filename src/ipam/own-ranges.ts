/** Which ranges are this host's, by what it remembers and what the store says. */
import type { Family } from '../base/ip.ts';
import type { Prefix } from '../base/prefix.ts';
import type { Revision } from '../store/store.ts';
import type { SegmentRange, SegmentSnapshot } from '../subnet/segment/segment.ts';
import type { AddressBook, OwnRange } from './address-book.ts';

/** What a host writes into its ranges and endpoints. */
export type HostMarks = Pick<SegmentRange, 'hostId' | 'hostName' | 'machine'>;

export interface RangeFindings {
  /** In the store, and not remembered. */
  readonly found: readonly OwnRange[];
  /** Remembered and needed, and the store does not know them. */
  readonly missing: readonly OwnRange[];
  /** Remembered, and given up: the store does not know them, and nothing is in them. */
  readonly unneeded: readonly OwnRange[];
  /** Remembered, and another host's by now. */
  readonly lost: readonly OwnRange[];
}

/** @param revision of the snapshot: it says nothing about what was leased later */
export function findRanges(
  { segment, ranges }: SegmentSnapshot,
  revision: Revision,
  book: AddressBook,
  host: HostMarks,
): RangeFindings {
  const own = [...ranges.values()].filter(range => isOwn(range, host));
  const remembered = book.ranges();
  const isRemembered = new Set(remembered.map(({ block }) => block.key));
  const missing: OwnRange[] = [];
  const unneeded: OwnRange[] = [];
  const lost: OwnRange[] = [];
  for (const range of remembered) {
    const present = own.find(({ block }) => block.equals(range.block));
    if (range.revision > revision && !present?.forgotten) continue;
    const other = [...ranges.values()].find(one => !isOwn(one, host) && one.block.overlaps(range.block));
    if (present !== undefined && !present.forgotten) continue;
    if (other !== undefined) lost.push(range);
    else if (present?.forgotten || segment.docker || book.isUsed(range.block)) missing.push(range);
    else unneeded.push(range);
  }
  const found = own.flatMap(({ block, modRevision, forgotten }) =>
    forgotten || isRemembered.has(block.key) ? [] : [{ block, revision: modRevision }],
  );
  return { found, missing, unneeded, lost };
}

/** The remembered blocks of a family, in order. */
export function rangeBlocks(book: AddressBook, family: Family): readonly Prefix[] {
  return book.ranges().flatMap(({ block }) => (block.family === family ? [block] : []));
}

/** A copy of this host's disk has its id, and not its machine (docs/decisions/0010-identity.md). */
function isOwn({ hostId, machine }: SegmentRange, host: HostMarks): boolean {
  const isCopy = machine !== undefined && host.machine !== undefined && machine !== host.machine;
  return hostId === host.hostId && !isCopy;
}
