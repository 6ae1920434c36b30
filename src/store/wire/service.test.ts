import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Client,
  credentials,
  Client as GrpcClient,
  Metadata,
  Server,
  ServerCredentials,
  status,
} from '@grpc/grpc-js';
import { within } from '../../../test/support/eventually.ts';
import { KV, type RangeRequest } from './generated/kv_pb.ts';
import { Watch } from './generated/watch_pb.ts';
import { callUnary, definitionOf, type Handlers, openStream } from './service.ts';

/** Runs `body` with a client of a server that serves `handlers` on loopback. */
async function withServer(
  handlers: { readonly kv?: Partial<Handlers<typeof KV>>; readonly watch?: Handlers<typeof Watch> },
  body: (client: Client) => Promise<void>,
): Promise<void> {
  const server = new Server();
  try {
    if (handlers.kv) server.addService(definitionOf(KV), handlers.kv);
    if (handlers.watch) server.addService(definitionOf(Watch), { ...handlers.watch });
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      ),
    );
    const client = new GrpcClient(`127.0.0.1:${port}`, credentials.createInsecure());
    try {
      await body(client);
    } finally {
      client.close();
    }
  } finally {
    server.forceShutdown();
  }
}

const KEY = Uint8Array.from([0x2f, 0x00, 0xff]);

test('a definition has the paths and kinds of etcd', () => {
  const { range } = definitionOf(KV);
  assert.equal(range.path, '/etcdserverpb.KV/Range');
  assert.deepEqual([range.requestStream, range.responseStream], [false, false]);
  const { watch } = definitionOf(Watch);
  assert.equal(watch.path, '/etcdserverpb.Watch/Watch');
  assert.deepEqual([watch.requestStream, watch.responseStream], [true, true]);
});

test('a unary call carries binary keys and 64-bit numbers both ways', async () => {
  let seen: RangeRequest | undefined;
  await withServer(
    {
      kv: {
        range: (call, done) => {
          seen = call.request;
          done(null, { header: { revision: 2n ** 53n + 1n }, kvs: [{ key: call.request.key }] });
        },
      },
    },
    async client => {
      const response = await callUnary(client, KV.method.range, { key: KEY, limit: 3n }, new Metadata());
      assert.deepEqual(seen?.key, KEY);
      assert.equal(seen?.limit, 3n);
      assert.equal(response.header?.revision, 9007199254740993n);
      assert.deepEqual(response.kvs[0]?.key, KEY);
      assert.equal(Buffer.isBuffer(response.kvs[0]?.key), false);
    },
  );
});

test('a unary call rejects with the status of the server', async () => {
  await withServer(
    { kv: { put: (_call, done) => done({ code: status.NOT_FOUND, details: 'no such lease' }) } },
    client =>
      assert.rejects(callUnary(client, KV.method.put, { key: KEY }, new Metadata()), {
        code: status.NOT_FOUND,
        details: 'no such lease',
      }),
  );
});

test('an aborted call rejects with the reason of the abort, and the server sees a cancellation', async () => {
  const reached = Promise.withResolvers<void>();
  const cancelled = Promise.withResolvers<void>();
  await withServer(
    {
      kv: {
        range: call => {
          call.on('cancelled', cancelled.resolve);
          reached.resolve();
        },
      },
    },
    async client => {
      const abort = new AbortController();
      const call = callUnary(client, KV.method.range, { key: KEY }, new Metadata(), { signal: abort.signal });
      await within('the request comes', reached.promise);
      abort.abort(new Error('enough'));
      await assert.rejects(call, { message: 'enough' });
      await within('the cancellation comes', cancelled.promise);
      await assert.rejects(
        callUnary(client, KV.method.range, { key: KEY }, new Metadata(), { signal: abort.signal }),
        { message: 'enough' },
      );
    },
  );
});

test('a stream carries messages both ways until one side ends it', async () => {
  await withServer(
    {
      watch: {
        watch: call => {
          call.on('data', request => {
            call.write({ watchId: request.requestUnion.case === 'createRequest' ? 7n : -1n });
          });
          call.on('end', () => call.end());
        },
      },
    },
    async client => {
      const stream = openStream(client, Watch.method.watch, new Metadata());
      stream.write({ requestUnion: { case: 'createRequest', value: { key: KEY } } });
      stream.write({ requestUnion: { case: 'progressRequest', value: {} } });
      stream.end();
      const ids: bigint[] = [];
      for await (const response of stream) ids.push(response.watchId);
      assert.deepEqual(ids, [7n, -1n]);
    },
  );
});
