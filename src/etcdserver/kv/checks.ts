/**
 * What can be said about a KV request without looking at a key (etcd 3.4, etcdserver/api/v3rpc/key.go). The order
 * of the checks is etcd's, because it decides which error a doubly wrong request gets.
 */
import {
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  RangeRequest_SortOrder,
  RangeRequest_SortTarget,
  type RequestOp,
  type TxnRequest,
} from '../../store/wire/generated/kv_pb.ts';
import { refusal } from '../errors.ts';
import { keyText } from './range.ts';

/** Operations or comparisons in one transaction. */
const MAX_TXN_OPS = 128;

export function checkRange(request: RangeRequest): void {
  if (request.key.byteLength === 0) throw refusal('emptyKey');
  if (!SORT_ORDERS.has(request.sortOrder) || !SORT_TARGETS.has(request.sortTarget)) {
    throw refusal('invalidSortOption');
  }
}

const SORT_ORDERS: ReadonlySet<number> = new Set(Object.values(RangeRequest_SortOrder));
const SORT_TARGETS: ReadonlySet<number> = new Set(Object.values(RangeRequest_SortTarget));

export function checkPut(request: PutRequest): void {
  if (request.key.byteLength === 0) throw refusal('emptyKey');
  if (request.ignoreValue && request.value.byteLength > 0) throw refusal('valueProvided');
  if (request.ignoreLease && request.lease !== 0n) throw refusal('leaseProvided');
}

export function checkDelete(request: DeleteRangeRequest): void {
  if (request.key.byteLength === 0) throw refusal('emptyKey');
}

export function checkTxn(request: TxnRequest): void {
  checkOps(request, MAX_TXN_OPS);
  checkIntervals(request.success);
  checkIntervals(request.failure);
}

/** A nested transaction may have as many operations as its parent left of the limit. */
function checkOps({ compare, success, failure }: TxnRequest, limit: number): void {
  const used = Math.max(compare.length, success.length, failure.length);
  if (used > limit) throw refusal('tooManyOps');
  if (compare.some(one => one.key.byteLength === 0)) throw refusal('emptyKey');
  for (const op of [...success, ...failure]) checkOp(op, limit - used);
}

function checkOp({ request }: RequestOp, left: number): void {
  switch (request.case) {
    case 'requestRange':
      return checkRange(request.value);
    case 'requestPut':
      return checkPut(request.value);
    case 'requestDeleteRange':
      return checkDelete(request.value);
    case 'requestTxn':
      return checkOps(request.value, left);
    case undefined:
      throw refusal('keyNotFound');
  }
}

/** A range of keys as text; `end` undefined is the end of all keys. */
interface Interval {
  readonly start: string;
  readonly end: string | undefined;
}

interface Touched {
  readonly puts: ReadonlySet<string>;
  readonly deletes: readonly Interval[];
}

/** No key may be put twice, nor put and deleted, on one way through a transaction. @throws RpcError */
function checkIntervals(ops: readonly RequestOp[]): Touched {
  const puts = new Set<string>();
  const deletes: Interval[] = [];
  const claim = (key: string, shared?: ReadonlySet<string>) => {
    if (puts.has(key) && shared?.has(key) !== true) throw refusal('duplicateKey');
    if (deletes.some(interval => within(interval, key))) throw refusal('duplicateKey');
    puts.add(key);
  };
  for (const { request } of ops) {
    if (request.case === 'requestDeleteRange') deletes.push(intervalOf(request.value));
  }
  for (const { request } of ops) {
    if (request.case !== 'requestTxn') continue;
    const success = checkIntervals(request.value.success);
    const failure = checkIntervals(request.value.failure);
    for (const key of success.puts) claim(key);
    // Only one of the two branches runs, so they may put the same key.
    for (const key of failure.puts) claim(key, success.puts);
    deletes.push(...success.deletes, ...failure.deletes);
  }
  for (const { request } of ops) {
    if (request.case === 'requestPut') claim(keyText(request.value.key));
  }
  return { puts, deletes };
}

function intervalOf({ key, rangeEnd }: DeleteRangeRequest): Interval {
  const start = keyText(key);
  if (rangeEnd.byteLength === 0) return { start, end: `${start}\0` };
  // etcd takes the "\0" of "all keys from here" literally in this one place, so such a delete conflicts with
  // nothing; a transaction may delete everything and then put.
  return { start, end: keyText(rangeEnd) };
}

function within({ start, end }: Interval, key: string): boolean {
  return start <= key && (end === undefined || key < end);
}
