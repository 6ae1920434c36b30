/** Between the nouns of the Store and etcd's messages; what a server sends is checked here. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type Compare,
  type KeyValue,
  type Revision,
  StoreError,
  type StoreEvent,
  type TxnOperation,
} from '../store.ts';
import type { ResponseHeader } from '../wire/generated/header_pb.ts';
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  type CompareSchema,
  type RequestOpSchema,
} from '../wire/generated/kv_pb.ts';
import { type Event, Event_EventType, type KeyValue as WireKeyValue } from '../wire/generated/mvcc_pb.ts';

/** A half-open range of keys, as etcd takes it: without `rangeEnd` the one key. */
export interface Range {
  readonly key: Uint8Array;
  readonly rangeEnd?: Uint8Array;
  /** Of reads: without keys that were created before. */
  readonly minCreateRevision?: Revision;
}

/** The part of a response's header that distinguishes one store, and one state of it, from another. */
export interface Header {
  readonly clusterId: bigint;
  readonly revision: Revision;
  readonly term: bigint;
}

const encoder = new TextEncoder();

export const encodeKey = (key: string): Uint8Array => encoder.encode(key);

/** etcd's word for "no end", and for "from the first key". */
const ZERO = Uint8Array.of(0);

/** All keys that begin with `prefix`: up to the prefix with its last byte raised by one. */
export function prefixRange(prefix: string): Range {
  if (prefix === '') return { key: ZERO, rangeEnd: ZERO };
  const key = encodeKey(prefix);
  const rangeEnd = key.slice();
  // UTF-8 has no byte 0xff, so that raising the last one never overflows.
  rangeEnd[rangeEnd.length - 1] = (rangeEnd.at(-1) ?? 0) + 1;
  return { key, rangeEnd };
}

/** @throws StoreError PROTOCOL */
export function decodeHeader(header: ResponseHeader | undefined, op: string): Header {
  if (header === undefined || header.revision < 0n) throw protocolViolation(op, 'no header with a revision');
  return { clusterId: header.clusterId, revision: header.revision, term: header.raftTerm };
}

/**
 * The value shares its bytes with the message it came in: to keep one of many for long, copy it.
 * @throws StoreError PROTOCOL
 */
export function decodeKeyValue(kv: WireKeyValue, op: string): KeyValue {
  if (kv.key.length === 0) throw protocolViolation(op, 'a key-value without a key');
  return {
    key: decodeKey(kv.key),
    value: kv.value,
    createRevision: kv.createRevision,
    modRevision: kv.modRevision,
    version: kv.version,
    lease: kv.lease,
  };
}

/** @throws StoreError PROTOCOL */
export function decodeStoreEvent(event: Event, op: string): StoreEvent {
  if (event.kv === undefined) throw protocolViolation(op, 'an event without a key');
  if (event.type === Event_EventType.PUT) return { type: 'put', kv: decodeKeyValue(event.kv, op) };
  if (event.type !== Event_EventType.DELETE)
    throw protocolViolation(op, `an event of the unknown type ${event.type}`);
  return { type: 'delete', key: decodeKey(event.kv.key), modRevision: event.kv.modRevision };
}

/** Bytes that are no UTF-8 become U+FFFD: such a key belongs to another program, and no key of ours is equal to it. */
const decodeKey = (key: Uint8Array) =>
  Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('utf8');

const RESULTS = {
  '=': Compare_CompareResult.EQUAL,
  '!=': Compare_CompareResult.NOT_EQUAL,
  '<': Compare_CompareResult.LESS,
  '>': Compare_CompareResult.GREATER,
} as const satisfies Record<Compare['is'], Compare_CompareResult>;

export function encodeCompare(compare: Compare): MessageInitShape<typeof CompareSchema> {
  const common = { key: encodeKey(compare.key), result: RESULTS[compare.is] };
  switch (compare.target) {
    case 'version':
      return {
        ...common,
        target: Compare_CompareTarget.VERSION,
        targetUnion: { case: 'version', value: compare.operand },
      };
    case 'create':
      return {
        ...common,
        target: Compare_CompareTarget.CREATE,
        targetUnion: { case: 'createRevision', value: compare.operand },
      };
    case 'mod':
      return {
        ...common,
        target: Compare_CompareTarget.MOD,
        targetUnion: { case: 'modRevision', value: compare.operand },
      };
    case 'lease':
      return {
        ...common,
        target: Compare_CompareTarget.LEASE,
        targetUnion: { case: 'lease', value: compare.operand },
      };
    case 'value':
      return {
        ...common,
        target: Compare_CompareTarget.VALUE,
        targetUnion: { case: 'value', value: compare.operand },
      };
  }
}

export function encodeOperation(operation: TxnOperation): MessageInitShape<typeof RequestOpSchema> {
  switch (operation.op) {
    case 'get':
      return { request: { case: 'requestRange', value: { key: encodeKey(operation.key) } } };
    case 'list':
      return { request: { case: 'requestRange', value: prefixRange(operation.prefix) } };
    case 'put': {
      const { value, lease = 0n } = operation;
      return { request: { case: 'requestPut', value: { key: encodeKey(operation.key), value, lease } } };
    }
    case 'delete':
      return { request: { case: 'requestDeleteRange', value: { key: encodeKey(operation.key) } } };
  }
}

/** What the server sent is well-formed protobuf and still makes no sense. */
export function protocolViolation(op: string, what: string): StoreError {
  return new StoreError('PROTOCOL', `${op}: the server sent ${what}`, { op });
}
