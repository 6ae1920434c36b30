/**
 * KV requests applied to the keys (etcd 3.4, etcdserver/apply.go). Every function either finds the request in
 * order and does all of it, or throws before anything is written.
 */
import type {
  DeleteRangeRequest,
  PutRequest,
  RequestOp,
  TxnRequest,
} from '../../store/wire/generated/kv_pb.ts';
import { refusal } from '../errors.ts';
import type { MvccWriter } from '../mvcc/mvcc.ts';
import type { Kv } from '../sqlite/tables.ts';
import type { AnswerSize } from './answer-size.ts';
import { holds, type Read } from './compare.ts';
import { rangeOf } from './range.ts';
import { type Selection, select } from './selection.ts';

/** What the keys need to know of leases: whether there is one. */
export interface LeaseLookup {
  has(id: bigint): boolean;
}

export interface PutResult {
  readonly header: { readonly revision: bigint };
  readonly prevKv?: Kv;
}

export interface DeleteRangeResult {
  readonly header: { readonly revision: bigint };
  readonly deleted: bigint;
  readonly prevKvs: Kv[];
}

export type RangeAnswer = Selection & { readonly header: { readonly revision: bigint } };

/** The answers of nested operations carry the revision in their header and nothing else. */
export type OpResult =
  | { readonly case: 'responseRange'; readonly value: RangeAnswer }
  | { readonly case: 'responsePut'; readonly value: PutResult }
  | { readonly case: 'responseDeleteRange'; readonly value: DeleteRangeResult }
  | { readonly case: 'responseTxn'; readonly value: TxnResult };

export interface TxnResult {
  readonly header: { readonly revision?: bigint };
  readonly succeeded: boolean;
  readonly responses: { readonly response: OpResult }[];
}

/** A transaction with every comparison decided: the operations that run, nested ones included. */
interface Path {
  readonly succeeded: boolean;
  readonly ops: readonly RequestOp[];
  readonly nested: ReadonlyMap<RequestOp, Path>;
}

export function applyPut(writer: MvccWriter, leases: LeaseLookup, request: PutRequest): PutResult {
  checkLease(leases, request);
  checkKeptKey(writer, request);
  return put(writer, request);
}

export function applyDelete(writer: MvccWriter, request: DeleteRangeRequest): DeleteRangeResult {
  const kvs = writer.deleteRange(rangeOf(request.key, request.rangeEnd));
  const header = { revision: writer.visibleRevision };
  return { header, deleted: BigInt(kvs.length), prevKvs: request.prevKv ? kvs : [] };
}

/**
 * @param size of the answer. A transaction that writes is measured before it does, on the state before it; what it
 *   puts itself may come on top, which a request's size bounds.
 */
export function applyTxn(
  writer: MvccWriter,
  leases: LeaseLookup,
  request: TxnRequest,
  size?: AnswerSize,
): TxnResult {
  const path = decide(request, query => writer.range(query));
  const isWrite = writes(request);
  if (isWrite) checkPath(writer, leases, path, size);
  return { ...run(writer, path, isWrite ? undefined : size), header: { revision: writer.visibleRevision } };
}

/** Refuses a deletion whose previous values are too large an answer. */
export function checkPrevious(
  writer: MvccWriter,
  { key, rangeEnd }: DeleteRangeRequest,
  size: AnswerSize | undefined,
): void {
  if (size === undefined) return;
  const range = rangeOf(key, rangeEnd);
  writer.range({ range, revision: 0n, limit: 0n, keysOnly: false, countOnly: false, size });
}

/** Bytes of keys and values that a transaction may put, whichever branch runs: more than 0 when it has a put. */
export function bytesPut(request: TxnRequest): number {
  const ofOp = ({ request: op }: RequestOp): number =>
    op.case === 'requestPut'
      ? op.value.key.byteLength + op.value.value.byteLength
      : op.case === 'requestTxn'
        ? bytesPut(op.value)
        : 0;
  const sum = (ops: readonly RequestOp[]) => ops.reduce((total, op) => total + ofOp(op), 0);
  return Math.max(sum(request.success), sum(request.failure));
}

/** Whether a transaction can change anything, whichever branch runs. */
export function writes(request: TxnRequest): boolean {
  return [...request.success, ...request.failure].some(
    op =>
      op.request.case === 'requestPut' ||
      op.request.case === 'requestDeleteRange' ||
      (op.request.case === 'requestTxn' && writes(op.request.value)),
  );
}

function put(writer: MvccWriter, request: PutRequest): PutResult {
  const before = request.ignoreValue || request.ignoreLease ? writer.get(request.key) : undefined;
  const value = request.ignoreValue && before !== undefined ? before.value : request.value;
  const lease = request.ignoreLease && before !== undefined ? before.lease : request.lease;
  const previous = writer.put(request.key, value, lease);
  const header = { revision: writer.visibleRevision };
  return request.prevKv && previous !== undefined ? { header, prevKv: previous } : { header };
}

function checkLease(leases: LeaseLookup, { lease }: PutRequest): void {
  if (lease !== 0n && !leases.has(lease)) throw refusal('leaseNotFound');
}

/** What is to be kept must be there. */
function checkKeptKey(writer: MvccWriter, request: PutRequest): void {
  if ((request.ignoreValue || request.ignoreLease) && writer.get(request.key) === undefined) {
    throw refusal('keyNotFound');
  }
}

/** All comparisons, nested ones too, are made on the state before the transaction. */
function decide(request: TxnRequest, read: Read): Path {
  const succeeded = request.compare.every(one => holds(one, read));
  const ops = succeeded ? request.success : request.failure;
  const nested = new Map<RequestOp, Path>();
  for (const op of ops) {
    if (op.request.case === 'requestTxn') nested.set(op, decide(op.request.value, read));
  }
  return { succeeded, ops, nested };
}

/** Everything that could fail while the path runs, asked of the state before it. */
function checkPath(writer: MvccWriter, leases: LeaseLookup, path: Path, size: AnswerSize | undefined): void {
  for (const op of path.ops) {
    const { request } = op;
    if (request.case === 'requestPut') {
      // The other way round than in a plain put, as in etcd.
      checkKeptKey(writer, request.value);
      checkLease(leases, request.value);
    }
    if (request.case === 'requestRange') select(request.value, query => writer.range(query), size);
    if (request.case === 'requestDeleteRange' && request.value.prevKv) {
      checkPrevious(writer, request.value, size);
    }
    const nested = path.nested.get(op);
    if (nested !== undefined) checkPath(writer, leases, nested, size);
  }
}

function run(writer: MvccWriter, path: Path, size: AnswerSize | undefined): TxnResult {
  const responses = path.ops.map(op => ({ response: runOp(writer, op, path, size) }));
  return { header: {}, succeeded: path.succeeded, responses };
}

function runOp(writer: MvccWriter, op: RequestOp, path: Path, size: AnswerSize | undefined): OpResult {
  const { request } = op;
  switch (request.case) {
    case 'requestRange': {
      const selection = select(request.value, query => writer.range(query), size);
      return { case: 'responseRange', value: { ...selection, header: { revision: writer.visibleRevision } } };
    }
    case 'requestPut':
      return { case: 'responsePut', value: put(writer, request.value) };
    case 'requestDeleteRange':
      return { case: 'responseDeleteRange', value: applyDelete(writer, request.value) };
    case 'requestTxn': {
      const nested = path.nested.get(op);
      if (nested === undefined) throw refusal('keyNotFound');
      return { case: 'responseTxn', value: run(writer, nested, size) };
    }
    case undefined:
      throw refusal('keyNotFound');
  }
}
