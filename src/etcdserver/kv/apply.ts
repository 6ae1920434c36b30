/**
 * KV requests applied to the keys (etcd 3.4, etcdserver/apply.go). Every function either finds the request in
 * order and does all of it, or throws before anything is written.
 */
import {
  type Compare,
  Compare_CompareResult as CompareResult,
  Compare_CompareTarget as CompareTarget,
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  type TxnRequest,
} from '../../store/wire/generated/kv_pb.ts';
import { refusal } from '../errors.ts';
import type { MvccWriter, RangeQuery, RangeResult } from '../mvcc/mvcc.ts';
import type { Kv } from '../sqlite/tables.ts';
import { compareKeys, rangeOf } from './range.ts';
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

type Read = (query: RangeQuery) => RangeResult;

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

export function applyTxn(writer: MvccWriter, leases: LeaseLookup, request: TxnRequest): TxnResult {
  const path = decide(request, query => writer.range(query));
  checkPath(writer, leases, path);
  return { ...run(writer, path), header: { revision: writer.visibleRevision } };
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

function holds(compare: Compare, read: Read): boolean {
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

const EMPTY = new Uint8Array();

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

/** Everything that could fail while the path runs, asked of the state before it. */
function checkPath(writer: MvccWriter, leases: LeaseLookup, path: Path): void {
  for (const op of path.ops) {
    const { request } = op;
    if (request.case === 'requestPut') {
      // The other way round than in a plain put, as in etcd.
      checkKeptKey(writer, request.value);
      checkLease(leases, request.value);
    }
    if (request.case === 'requestRange') checkRevision(writer, request.value);
    const nested = path.nested.get(op);
    if (nested !== undefined) checkPath(writer, leases, nested);
  }
}

function checkRevision(writer: MvccWriter, { revision, key }: RangeRequest): void {
  writer.range({ range: rangeOf(key, EMPTY), revision, limit: 1n, keysOnly: true, countOnly: true });
}

function run(writer: MvccWriter, path: Path): TxnResult {
  const responses = path.ops.map(op => ({ response: runOp(writer, op, path) }));
  return { header: {}, succeeded: path.succeeded, responses };
}

function runOp(writer: MvccWriter, op: RequestOp, path: Path): OpResult {
  const { request } = op;
  switch (request.case) {
    case 'requestRange': {
      const selection = select(request.value, query => writer.range(query));
      return { case: 'responseRange', value: { ...selection, header: { revision: writer.visibleRevision } } };
    }
    case 'requestPut':
      return { case: 'responsePut', value: put(writer, request.value) };
    case 'requestDeleteRange':
      return { case: 'responseDeleteRange', value: applyDelete(writer, request.value) };
    case 'requestTxn': {
      const nested = path.nested.get(op);
      if (nested === undefined) throw refusal('keyNotFound');
      return { case: 'responseTxn', value: run(writer, nested) };
    }
    case undefined:
      throw refusal('keyNotFound');
  }
}
