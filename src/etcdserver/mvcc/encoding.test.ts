/** The encoder by hand and the general one say the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { PutResponseSchema, RangeResponseSchema } from '../../store/wire/generated/kv_pb.ts';
import { Event_EventType as EventType } from '../../store/wire/generated/mvcc_pb.ts';
import { WatchResponseSchema } from '../../store/wire/generated/watch_pb.ts';
import { fc } from '../../testing/properties.ts';
import { encodeEvent, encodePut, encodeRange, encodeWatch } from './encoding.ts';

const int64 = fc.oneof(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.bigInt(0n, 300n));
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.nat(40_000).map(size => new Uint8Array(size).fill(7)),
);
const uint64 = fc.bigInt(0n, 2n ** 64n - 1n);
const header = fc.record({ clusterId: uint64, memberId: uint64, revision: int64, raftTerm: uint64 });
const kv = fc.record({
  key: bytes,
  value: bytes,
  createRevision: int64,
  modRevision: int64,
  version: int64,
  lease: int64,
});

test('a range response', () => {
  fc.assert(
    fc.property(header, fc.array(kv, { maxLength: 5 }), fc.boolean(), int64, (head, kvs, more, count) => {
      const { bytes: encoded } = encodeRange(head, { kvs, more, count });
      const expected = toBinary(
        RangeResponseSchema,
        create(RangeResponseSchema, { header: head, kvs, more, count }),
      );
      assert.deepEqual(new Uint8Array(encoded), new Uint8Array(expected));
    }),
  );
});

test('a put response', () => {
  fc.assert(
    fc.property(header, fc.option(kv, { nil: undefined }), (head, prevKv) => {
      const { bytes: encoded } = encodePut(head, prevKv);
      const fields = prevKv === undefined ? { header: head } : { header: head, prevKv };
      const expected = toBinary(PutResponseSchema, create(PutResponseSchema, fields));
      assert.deepEqual(new Uint8Array(encoded), new Uint8Array(expected));
    }),
  );
});

test('a watch response', () => {
  const event = fc.record({
    type: fc.constantFrom('put' as const, 'delete' as const),
    kv,
    prevKv: fc.option(kv, { nil: undefined }),
  });
  fc.assert(
    fc.property(
      header,
      int64,
      fc.boolean(),
      fc.array(event, { maxLength: 4 }),
      (head, watchId, fragment, events) => {
        const { bytes: encoded } = encodeWatch(head, watchId, fragment, events.map(encodeEvent));
        // The order of fields is free, so the messages are compared and not the bytes.
        const expected = create(WatchResponseSchema, {
          header: head,
          watchId,
          fragment,
          events: events.map(({ type, kv: state, prevKv }) => ({
            type: type === 'put' ? EventType.PUT : EventType.DELETE,
            kv: state,
            ...(prevKv === undefined ? {} : { prevKv }),
          })),
        });
        const decoded = fromBinary(WatchResponseSchema, new Uint8Array(encoded));
        assert.deepEqual(toBinary(WatchResponseSchema, decoded), toBinary(WatchResponseSchema, expected));
      },
    ),
  );
});
