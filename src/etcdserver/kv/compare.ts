/** The comparisons of a transaction (etcd 3.4, etcdserver/apply.go). */
import {
  type Compare,
  Compare_CompareResult as CompareResult,
  Compare_CompareTarget as CompareTarget,
} from '../../store/wire/generated/kv_pb.ts';
import type { RangeQuery, RangeResult } from '../mvcc/mvcc.ts';
import type { Kv } from '../sqlite/tables.ts';
import { compareKeys, rangeOf } from './range.ts';

/** How the state is read that is compared with. */
export type Read = (query: RangeQuery) => RangeResult;

const EMPTY = new Uint8Array();

/** Whether a comparison of a transaction holds for every key of its range. */
export function holds(compare: Compare, read: Read): boolean {
  const range = rangeOf(compare.key, compare.rangeEnd);
  const { kvs } = read({ range, revision: 0n, limit: 0n, keysOnly: false, countOnly: false });
  // There is no value to compare with when there is no key; its numbers count as 0.
  if (kvs.length === 0) return compare.target !== CompareTarget.VALUE && matches(compare, undefined);
  return kvs.every(kv => matches(compare, kv));
}

function matches(compare: Compare, kv: Kv | undefined): boolean {
  const order =
    compare.target === CompareTarget.VALUE
      ? compareKeys(
          kv?.value ?? EMPTY,
          compare.targetUnion.case === 'value' ? compare.targetUnion.value : EMPTY,
        )
      : compareNumbers(numberOf(compare.target, kv), operandOf(compare));
  switch (compare.result) {
    case CompareResult.EQUAL:
      return order === 0;
    case CompareResult.NOT_EQUAL:
      return order !== 0;
    case CompareResult.GREATER:
      return order > 0;
    case CompareResult.LESS:
      return order < 0;
    default:
      return true; // as etcd: a comparison it does not know holds
  }
}

function numberOf(target: CompareTarget, kv: Kv | undefined): bigint {
  if (kv === undefined) return 0n;
  switch (target) {
    case CompareTarget.VERSION:
      return kv.version;
    case CompareTarget.CREATE:
      return kv.createRevision;
    case CompareTarget.MOD:
      return kv.modRevision;
    case CompareTarget.LEASE:
      return kv.lease;
    case CompareTarget.VALUE:
    default:
      return 0n;
  }
}

/** The operand given for another target than the one compared counts as 0, as a field that is absent does. */
function operandOf({ target, targetUnion }: Compare): bigint {
  if (targetUnion.case === undefined || targetUnion.case === 'value') return 0n;
  return targetUnion.case === OPERAND_OF[target] ? targetUnion.value : 0n;
}

const OPERAND_OF: Readonly<Record<number, Compare['targetUnion']['case']>> = {
  [CompareTarget.VERSION]: 'version',
  [CompareTarget.CREATE]: 'createRevision',
  [CompareTarget.MOD]: 'modRevision',
  [CompareTarget.VALUE]: 'value',
  [CompareTarget.LEASE]: 'lease',
};

function compareNumbers(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
