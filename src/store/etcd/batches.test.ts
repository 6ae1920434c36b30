import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { parseHex } from '../../base/bytes.ts';
import { fc } from '../../testing/properties.ts';
import type { StoreUpdate } from '../store.ts';
import { Event_EventType } from '../wire/generated/mvcc_pb.ts';
import { WatchResponseSchema } from '../wire/generated/watch_pb.ts';
import { Batches } from './batches.ts';

type Response = MessageInitShape<typeof WatchResponseSchema>;

const event = (revision: bigint, key = 'k') => ({
  type: Event_EventType.PUT,
  kv: { key: new TextEncoder().encode(key), modRevision: revision },
});

function take(batches: Batches, ...responses: Response[]): StoreUpdate[] {
  return responses.flatMap(response => [...batches.take(create(WatchResponseSchema, response))]);
}

const sizes = (updates: readonly StoreUpdate[]) =>
  updates.map(update => (update.type === 'events' ? [update.revision, update.events.length] : update.type));

test('one update per revision, however a response groups them', () => {
  const batches = new Batches(5n);
  const updates = take(batches, { events: [event(5n), event(5n), event(7n)] }, { events: [event(8n)] });
  assert.deepEqual(sizes(updates), [
    [5n, 2],
    [7n, 1],
    [8n, 1],
  ]);
  assert.equal(batches.next, 9n);
});

test('a revision in fragments is delivered when it is complete', () => {
  const batches = new Batches(1n);
  assert.deepEqual(sizes(take(batches, { fragment: true, events: [event(1n), event(2n, 'a')] })), [[1n, 1]]);
  assert.equal(
    batches.next,
    2n,
    'half a revision is not delivered, and is requested again after a reconnect',
  );
  assert.deepEqual(sizes(take(batches, { fragment: true, events: [event(2n, 'b')] })), []);
  assert.deepEqual(sizes(take(batches, { events: [event(2n, 'c'), event(3n)] })), [
    [2n, 3],
    [3n, 1],
  ]);
});

test('what was delivered before is not delivered again', () => {
  assert.deepEqual(sizes(take(new Batches(5n), { events: [event(3n), event(4n), event(5n)] })), [[5n, 1]]);
});

test('a progress report moves on, the beginning of a watch does not', () => {
  const batches = new Batches(5n);
  take(batches, { created: true, header: { revision: 90n } });
  assert.equal(batches.next, 5n);
  take(batches, { header: { revision: 20n } });
  assert.equal(batches.next, 21n);
  take(batches, { header: { revision: 10n } });
  assert.equal(batches.next, 21n, 'and never back');
});

test('revisions that go back, events without a key, and unknown types make no sense', () => {
  const protocolViolation: Response[] = [
    { events: [event(6n), event(5n)] },
    { events: [{}] },
    { events: [event(5n, '')] },
    // An event of type 9, which no etcd sends: { type: 9, kv: { key: 'k', mod_revision: 5 } }.
    fromBinary(WatchResponseSchema, parseHex('5a 09 08 09 12 05 0a 01 6b 18 05')),
  ];
  for (const response of protocolViolation) {
    assert.throws(() => take(new Batches(5n), response), { name: 'StoreError', code: 'PROTOCOL' });
  }
});

test('any cut into responses and fragments gives the same updates', () => {
  const history = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(history, fc.array(fc.nat(3), { minLength: 80, maxLength: 80 }), (counts, cuts) => {
      const events = counts.flatMap((count, index) =>
        Array.from({ length: count }, (_, key) => event(BigInt(index + 1), String(key))),
      );
      const responses: Response[] = [];
      for (let start = 0, index = 0; start < events.length; index++) {
        const end = Math.min(events.length, start + 1 + (cuts[index] ?? 0));
        const next = events[end]?.kv.modRevision;
        // etcd splits a revision between responses only when it marks the first ones as fragments.
        const fragment = next !== undefined && next === events[end - 1]?.kv.modRevision;
        responses.push({ events: events.slice(start, end), fragment });
        start = end;
      }
      const sent = sizes(take(new Batches(1n), ...responses));
      assert.deepEqual(
        sent,
        counts.map((count, index) => [BigInt(index + 1), count]),
      );
    }),
  );
});
