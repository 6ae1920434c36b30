/** What an etcd server sends: a list, and the responses of a watch. */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { Batches } from '../../src/store/etcd/batches.ts';
import { decodeHeader, decodeKeyValue } from '../../src/store/etcd/codec.ts';
import { StoreError } from '../../src/store/store.ts';
import { RangeResponseSchema } from '../../src/store/wire/generated/kv_pb.ts';
import { Event_EventType } from '../../src/store/wire/generated/mvcc_pb.ts';
import { WatchResponseSchema } from '../../src/store/wire/generated/watch_pb.ts';
import type { FuzzTarget } from './fuzz.ts';

const header = { clusterId: 1n, memberId: 2n, revision: 9n, raftTerm: 3n };
const bytes = (text: string) => new TextEncoder().encode(text);

function kv(key: string, modRevision: bigint) {
  const value = bytes('{"PublicIP":"10.0.0.1"}');
  return { key: bytes(key), value, createRevision: 2n, modRevision, version: 1n, lease: 7n };
}

function target<T extends DescMessage>(
  name: string,
  schema: T,
  seeds: readonly MessageInitShape<T>[],
  check: (message: MessageShape<T>) => void,
): FuzzTarget {
  return {
    name,
    seeds: seeds.map(seed => toBinary(schema, create(schema, seed))),
    accepts(input) {
      let message: MessageShape<T>;
      try {
        message = fromBinary(schema, input);
      } catch {
        // Not protobuf: the library says so, and gRPC makes a failed call of it.
        return false;
      }
      try {
        check(message);
        return true;
      } catch (error) {
        if (error instanceof StoreError && error.code === 'PROTOCOL') return false;
        throw error;
      }
    },
  };
}

export const storeTargets: readonly FuzzTarget[] = [
  target(
    'etcd range response',
    RangeResponseSchema,
    [
      { header, kvs: [kv('/a', 3n), kv('/b', 4n)], count: 2n },
      { header, more: true, kvs: [] },
    ],
    message => {
      decodeHeader(message.header, 'range');
      for (const pair of message.kvs) decodeKeyValue(pair, 'range');
    },
  ),
  target(
    'etcd watch response',
    WatchResponseSchema,
    [
      { header, watchId: 1n, created: true },
      {
        header,
        events: [
          { type: Event_EventType.PUT, kv: kv('/a', 3n) },
          { type: Event_EventType.DELETE, kv: { key: bytes('/b'), modRevision: 4n } },
        ],
      },
      { header, fragment: true, events: [{ kv: kv('/c', 5n) }] },
    ],
    message => {
      const batches = new Batches(3n);
      let last = 2n;
      for (const update of batches.take(message)) {
        if (update.type !== 'events' || update.events.length === 0 || update.revision <= last) {
          throw new Error('an update without sense');
        }
        last = update.revision;
      }
    },
  ),
];
