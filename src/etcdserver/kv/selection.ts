/** What a Range request wants of the keys in its range: filtered, sorted, cut. Pure. */
import {
  type RangeRequest,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
} from '../../store/wire/generated/kv_pb.ts';
import type { RangeQuery, RangeResult } from '../mvcc/mvcc.ts';
import type { Kv } from '../sqlite/tables.ts';
import type { AnswerSize } from './answer-size.ts';
import { compareKeys, rangeOf } from './range.ts';

const EMPTY = new Uint8Array();

export interface Selection {
  readonly kvs: Kv[];
  /** The limit cut off the rest. */
  readonly more: boolean;
  readonly count: bigint;
}

/**
 * Runs `request` with `read`, which answers the part of it that an index can answer.
 * @param size refuses an answer that is too large; without a filter or an order while it is read.
 */
export function select(
  request: RangeRequest,
  read: (query: RangeQuery) => RangeResult,
  size?: AnswerSize,
): Selection {
  // Filters and orders need every key; without them one key more than the limit shows whether there are more.
  const needsAll =
    request.sortOrder !== SortOrder.NONE ||
    request.minModRevision !== 0n ||
    request.maxModRevision !== 0n ||
    request.minCreateRevision !== 0n ||
    request.maxCreateRevision !== 0n;
  const { kvs, count } = read({
    range: rangeOf(request.key, request.rangeEnd),
    revision: request.revision,
    limit: needsAll || request.limit <= 0n ? 0n : request.limit + 1n,
    keysOnly: request.keysOnly && request.sortTarget !== SortTarget.VALUE,
    countOnly: request.countOnly,
    ...(needsAll || size === undefined ? {} : { size }),
  });
  const sorted = order(needsAll ? kvs.filter(kv => inBounds(request, kv)) : kvs, request);
  const more = request.limit > 0n && BigInt(sorted.length) > request.limit;
  const cut = more ? sorted.slice(0, Number(request.limit)) : sorted;
  const selected = request.keysOnly ? cut.map(kv => ({ ...kv, value: EMPTY })) : cut;
  if (needsAll) for (const kv of selected) size?.add(kv);
  return { kvs: selected, more, count };
}

function inBounds(request: RangeRequest, { modRevision, createRevision }: Kv): boolean {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  return (
    (maxModRevision === 0n || modRevision <= maxModRevision) &&
    (minModRevision === 0n || modRevision >= minModRevision) &&
    (maxCreateRevision === 0n || createRevision <= maxCreateRevision) &&
    (minCreateRevision === 0n || createRevision >= minCreateRevision)
  );
}

/** Ties keep the order of the keys. A sort target without an order means ascending. */
function order(kvs: Kv[], { sortOrder, sortTarget }: RangeRequest): Kv[] {
  const ascending = sortOrder !== SortOrder.DESCEND;
  if (sortTarget === SortTarget.KEY && ascending) return kvs;
  const compare = COMPARISONS[sortTarget] ?? BY_KEY;
  return kvs.toSorted(ascending ? compare : (a, b) => compare(b, a));
}

const byNumber = (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0);

const BY_KEY = (a: Kv, b: Kv) => compareKeys(a.key, b.key);

const COMPARISONS: Readonly<Record<number, (a: Kv, b: Kv) => number>> = {
  [SortTarget.KEY]: BY_KEY,
  [SortTarget.VERSION]: (a, b) => byNumber(a.version, b.version),
  [SortTarget.CREATE]: (a, b) => byNumber(a.createRevision, b.createRevision),
  [SortTarget.MOD]: (a, b) => byNumber(a.modRevision, b.modRevision),
  [SortTarget.VALUE]: (a, b) => compareKeys(a.value, b.value),
};
