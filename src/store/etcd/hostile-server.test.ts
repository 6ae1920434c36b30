/** Nothing that a server sends may crash the client, hang it, or give an observer wrong updates. */
import assert from 'node:assert/strict';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { createServer, type Server as NetServer } from 'node:net';
import { test } from 'node:test';
import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import { mutate, Random } from '../../../test/fuzz/fuzz.ts';
import { type Store, StoreError } from '../store.ts';
import { KV, RangeResponseSchema, TxnResponseSchema } from '../wire/generated/kv_pb.ts';
import { Lease, LeaseGrantResponseSchema, LeaseKeepAliveResponseSchema } from '../wire/generated/lease_pb.ts';
import { Maintenance, StatusResponseSchema } from '../wire/generated/maintenance_pb.ts';
import { Watch, WatchResponseSchema } from '../wire/generated/watch_pb.ts';
import { definitionOf } from '../wire/service.ts';
import { EtcdStore } from './etcd-store.ts';

const timing = { connect: 500, call: 300, ping: 1_000, pingTimeout: 500, retryFirst: 1, retryCap: 2 };

const message = <T extends DescMessage>(schema: T, init: MessageInitShape<T>) =>
  toBinary(schema, create(schema, init));

const header = { clusterId: 1n, revision: 9n, raftTerm: 2n };
const kv = { key: Uint8Array.of(0x61), value: Uint8Array.of(1), modRevision: 10n, version: 1n };

/** Answers to begin with; every one is mutated, and each call may get the answer of another. */
const SEEDS = [
  message(RangeResponseSchema, { header, kvs: [kv], count: 1n }),
  message(RangeResponseSchema, { header, kvs: [kv], more: true }),
  message(TxnResponseSchema, {
    header,
    succeeded: true,
    responses: [{ response: { case: 'responseRange', value: { kvs: [kv] } } }],
  }),
  message(LeaseGrantResponseSchema, { header, ID: 7n, TTL: 60n }),
  message(LeaseKeepAliveResponseSchema, { header, ID: 7n, TTL: 60n }),
  message(StatusResponseSchema, { header, version: '3.4.0', errors: ['alarm:NOSPACE'] }),
  message(WatchResponseSchema, { header, created: true }),
  message(WatchResponseSchema, { header, canceled: true, compactRevision: 5n }),
  message(WatchResponseSchema, { header, events: [{ kv }, { kv: { ...kv, modRevision: 11n } }] }),
];

/** Every call of a store settles, with a result or a StoreError. */
async function useAll(store: Store): Promise<void> {
  const value = Uint8Array.of(1);
  const calls: Promise<unknown>[] = [
    store.get('a'),
    store.list('a'),
    store.put('a', value),
    store.delete('a'),
    store.transact({ compare: [], success: [{ op: 'get', key: 'a' }] }),
    store.grant(60),
    store.keepAlive(7n),
    store.revoke(7n),
    store.timeToLive(7n),
    store.status(),
  ];
  for (const result of await Promise.allSettled(calls)) {
    if (result.status === 'rejected') assert.ok(result.reason instanceof StoreError, String(result.reason));
  }
}

/** Follows until the server has been asked often enough; its updates must keep to the contract. */
async function follow(store: Store, enough: AbortSignal): Promise<void> {
  let interruption: string | undefined;
  let last: bigint | undefined;
  for await (const update of store.observe('a', { signal: enough })) {
    switch (update.type) {
      case 'snapshot':
        assert.equal(interruption, undefined);
        last = update.revision;
        break;
      case 'events':
        assert.ok(last !== undefined && update.revision > last && update.events.length > 0);
        last = update.revision;
        break;
      case 'interrupted':
        assert.ok(update.error instanceof StoreError);
        assert.notEqual(
          update.error.message,
          interruption,
          'an interruption is reported again only for another reason',
        );
        interruption = update.error.message;
        break;
      case 'resumed':
        assert.notEqual(interruption, undefined);
        interruption = undefined;
        break;
    }
  }
}

/** The same service with bytes instead of messages. */
function raw(definition: ServiceDefinition): ServiceDefinition {
  const same = (bytes: Buffer) => bytes;
  return Object.fromEntries(
    Object.entries(definition).map(([name, method]) => [
      name,
      {
        ...method,
        requestSerialize: same,
        requestDeserialize: same,
        responseSerialize: same,
        responseDeserialize: same,
      },
    ]),
  );
}

test('mutated messages of a gRPC server', { timeout: 60_000 }, async () => {
  const random = new Random(4711);
  const enough = new AbortController();
  let asked = 0;
  const answer = () => {
    if (++asked >= 1_500) enough.abort();
    return Buffer.from(mutate(SEEDS, random));
  };
  const server = new Server();
  for (const service of [KV, Lease, Maintenance, Watch]) {
    const definition = raw(definitionOf(service));
    const handlers = Object.entries(definition).map(([name, { requestStream, responseStream }]) => [
      name,
      requestStream || responseStream
        ? (call: { write(bytes: Buffer): void; end(): void }) => {
            for (let count = random.below(5); count > 0; count--) call.write(answer());
            call.end();
          }
        : (_call: unknown, done: (error: null, bytes: Buffer) => void) => done(null, answer()),
    ]);
    server.addService(definition, Object.fromEntries(handlers));
  }
  try {
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      ),
    );
    await using store = new EtcdStore({ endpoints: [`http://127.0.0.1:${port}`], timing });
    const following = [1, 2].map(() => follow(store, enough.signal));
    while (!enough.signal.aborted) await useAll(store);
    await Promise.all(following);
  } finally {
    server.forceShutdown();
  }
});

/** Runs `body` against whatever listens here. */
async function against(server: NetServer, body: (store: Store) => Promise<void>): Promise<void> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const store = new EtcdStore({ endpoints: [`http://127.0.0.1:${address.port}`], timing });
  try {
    await body(store);
  } finally {
    await store[Symbol.asyncDispose]();
    // Ends when the last connection does: a client that forgets one hangs here.
    await new Promise(resolve => server.close(resolve));
  }
}

test('bytes that are not HTTP/2, or nothing at all', { timeout: 60_000 }, async () => {
  const random = new Random(42);
  const greetings = [
    Buffer.from('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'),
    Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'),
    Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
    Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11]),
    Buffer.alloc(0),
  ];
  for (let round = 0; round < 20; round++) {
    const greeting = mutate(greetings, random);
    const server = createServer(socket => {
      socket.on('error', () => undefined);
      socket.resume();
      socket.write(greeting);
      if (round % 3 !== 0) socket.end();
    });
    await against(server, async store => {
      await assert.rejects(store.get('a'), { name: 'StoreError' });
    });
  }
});

const odd: [name: string, respond: (stream: ServerHttp2Stream) => void][] = [
  [
    'an error page',
    stream => stream.respond({ ':status': 502, 'content-type': 'text/html' }, { endStream: true }),
  ],
  ['no answer in a good response', stream => stream.respond({ ':status': 200 }, { endStream: true })],
  [
    'a status nobody knows',
    stream =>
      stream.respond({ ':status': 200, 'grpc-status': '999', 'grpc-message': '%zz%' }, { endStream: true }),
  ],
  [
    'a message of two gigabytes',
    stream => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      stream.write(Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]));
    },
  ],
  [
    'half a message',
    stream => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      stream.end(Buffer.from([0, 0, 0, 0, 9, 1]));
    },
  ],
  ['a reset', stream => stream.close(2)],
];

for (const [name, respond] of odd) {
  test(`${name} instead of an answer`, { timeout: 60_000 }, async () => {
    const server = createHttp2Server();
    server.on('stream', stream => {
      stream.on('error', () => undefined);
      respond(stream);
    });
    await against(server, async store => {
      await assert.rejects(store.put('a', new Uint8Array()), { name: 'StoreError' });
      const stop = new AbortController();
      for await (const update of store.observe('a', { signal: stop.signal })) {
        assert.equal(update.type, 'interrupted');
        stop.abort();
      }
    });
  });
}
