/** Lists in pages, against a server that answers what the test says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Server, ServerCredentials, type ServiceError, status } from '@grpc/grpc-js';
import { keysOf } from '../../testing/store-contract/tools.ts';
import { KV, type RangeRequest, type RangeResponseSchema } from '../wire/generated/kv_pb.ts';
import { definitionOf, type Handlers } from '../wire/service.ts';
import { EtcdClient } from './client.ts';
import { encodeKey, prefixRange } from './codec.ts';
import { parseEndpoints } from './endpoint.ts';
import { listRange } from './range.ts';

type Answer = MessageInitShape<typeof RangeResponseSchema> | Partial<ServiceError>;

/** Lists `/a` in pages of two from a server that gives these answers; returns what it was asked as well. */
async function list(answers: readonly Answer[]) {
  const asked: RangeRequest[] = [];
  const handlers: Pick<Handlers<typeof KV>, 'range'> = {
    range: ({ request }, done) => {
      const answer = answers[asked.push(request) - 1] ?? {};
      if ('code' in answer) done({ code: status.UNKNOWN, ...answer });
      else done(null, answer as MessageInitShape<typeof RangeResponseSchema>);
    },
  };
  const server = new Server();
  server.addService(definitionOf(KV), handlers);
  try {
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      ),
    );
    await using client = new EtcdClient({ endpoints: parseEndpoints([`127.0.0.1:${port}`]) });
    const result = await listRange(client, prefixRange('/a'), 2).catch((error: Error) => error);
    return { result, asked };
  } finally {
    server.forceShutdown();
  }
}

const header = (revision: bigint) => ({ clusterId: 1n, revision, raftTerm: 2n });
const kvs = (...keys: string[]) => keys.map(key => ({ key: encodeKey(key), modRevision: 1n }));

test('every page is asked for as of the revision of the first', async () => {
  const { result, asked } = await list([
    { header: header(7n), kvs: kvs('/a', '/a1'), more: true },
    { header: header(9n), kvs: kvs('/a2') },
  ]);
  assert.ok(!(result instanceof Error), inspect(result));
  assert.deepEqual(keysOf(result.kvs), ['/a', '/a1', '/a2']);
  assert.equal(result.header.revision, 7n);
  assert.deepEqual(
    asked.map(({ key, revision, limit }) => [Buffer.from(key).toString(), revision, limit]),
    [
      ['/a', 0n, 2n],
      ['/a1\0', 7n, 2n],
    ],
  );
});

test('a compaction between two pages starts the list over', async () => {
  const compacted = {
    code: status.OUT_OF_RANGE,
    details: 'etcdserver: mvcc: required revision has been compacted',
  };
  const first = { header: header(7n), kvs: kvs('/a', '/a1'), more: true };
  const { result } = await list([first, compacted, { header: header(8n), kvs: kvs('/a') }]);
  assert.ok(!(result instanceof Error), inspect(result));
  assert.deepEqual(keysOf(result.kvs), ['/a']);
  const { result: never, asked } = await list(
    Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? first : compacted)),
  );
  assert.ok(never instanceof Error && 'code' in never && never.code === 'COMPACTED');
  assert.equal(asked.length, 10, 'but not forever');
});

test('a server that never comes to an end is refused', async () => {
  const first = { header: header(7n), kvs: kvs('/a', '/a1'), more: true };
  for (const second of [{ header: header(7n), more: true }, first]) {
    const { result } = await list([first, second, second]);
    assert.ok(result instanceof Error && 'code' in result && result.code === 'PROTOCOL', inspect(result));
  }
});
