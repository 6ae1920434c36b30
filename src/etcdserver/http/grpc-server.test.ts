import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { untilClosed, within } from '../../../test/support/eventually.ts';
import { silentLogger } from '../../base/log.ts';
import {
  ERROR,
  encodeFrame,
  encodeHeaders,
  encodeReset,
  encodeSettings,
  FLAG,
  FRAME,
  PREFACE,
  SETTING,
} from '../../bench/hostile/http2-frames.ts';
import { KV, PutRequestSchema } from '../../store/wire/generated/kv_pb.ts';
import { Lease, LeaseKeepAliveRequestSchema } from '../../store/wire/generated/lease_pb.ts';
import { Maintenance } from '../../store/wire/generated/maintenance_pb.ts';
import { callUnary } from '../../store/wire/service.ts';
import { RpcError } from '../errors.ts';
import { type Methods, type Service, serviceOf } from '../rpc.ts';
import { frameMessage, MessageReader } from './grpc-messages.ts';
import { GrpcServer, type OnAnswered } from './grpc-server.ts';

async function withServer(
  services: readonly Service[],
  observe: OnAnswered,
  body: (port: number) => Promise<void>,
): Promise<void> {
  const grpc = new GrpcServer(services, 1000, silentLogger, observe);
  const sockets: Socket[] = [];
  const server = createServer(socket => {
    sockets.push(socket);
    grpc.accept(socket);
  });
  server.listen(0, '127.0.0.1');
  await within('the server listens', once(server, 'listening'));
  try {
    const address = server.address();
    assert.ok(address !== null && typeof address !== 'string');
    await body(address.port);
  } finally {
    grpc.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

test('statuses and their words arrive, whatever is in them, and are counted', async () => {
  const counted: string[] = [];
  const methods: Methods<typeof KV> = {
    put: () => {
      throw new RpcError('OUT_OF_RANGE', '100 % wrong: \u00fc\n\u2603');
    },
    range: () => Promise.reject(new TypeError('a defect')),
  };
  await withServer(
    [serviceOf(KV, methods)],
    (_service, method, status) => counted.push(`${method} ${status}`),
    async port => {
      const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
      try {
        await assert.rejects(callUnary(client, KV.method.put, {}, new Metadata()), {
          code: 11,
          details: '100 % wrong: \u00fc\n\u2603',
        });
        await assert.rejects(callUnary(client, KV.method.range, {}, new Metadata()), { code: 13 });
        await assert.rejects(callUnary(client, KV.method.txn, {}, new Metadata()), {
          code: 12,
          details: /Txn/,
        });
        await assert.rejects(
          callUnary(client, KV.method.put, { value: new Uint8Array(1001) }, new Metadata()),
          { code: 8 },
        );
      } finally {
        client.close();
      }
    },
  );
  assert.deepEqual(counted, ['Put OUT_OF_RANGE', 'Range INTERNAL', 'Put RESOURCE_EXHAUSTED']);
});

/** A connection for frames of the test's own making, and the headers of a request for this path. */
function dial(port: number, path: string): [Socket, Buffer] {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.resume();
  const block = encodeHeaders([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':authority', 'localhost'],
    [':path', path],
    ['content-type', 'application/grpc'],
  ]);
  return [socket, block];
}

test('requests that are sent and reset without end cost their sender the connection, and the others little', async () => {
  let asked = 0;
  const put = () => {
    asked++;
    return new Promise<never>(() => undefined);
  };
  await withServer(
    [serviceOf(KV, { put })],
    () => undefined,
    async port => {
      const [socket, block] = dial(port, '/etcdserverpb.KV/Put');
      const message = frameMessage(toBinary(PutRequestSchema, create(PutRequestSchema)));
      const one = (id: number) =>
        Buffer.concat([
          encodeFrame(FRAME.HEADERS, FLAG.END_HEADERS, id, block),
          encodeFrame(FRAME.DATA, FLAG.END_STREAM, id, message),
          encodeReset(id, ERROR.CANCEL),
        ]);
      const closed = untilClosed(socket);
      socket.write(Buffer.concat([PREFACE, encodeSettings([])]));
      socket.write(Buffer.concat(Array.from({ length: 12_000 }, (_, index) => one(2 * index + 1))));
      await within('the connection is closed', closed);
    },
  );
  // A little more than the limit of 100 on a busy machine; all 12,000 without it.
  assert.ok(asked < 6000, `${asked} requests of a client that takes all of them back`);
});

test('large headers cost their sender the connection, also one that takes no note of our settings', async () => {
  const put = () => new Promise<never>(() => undefined);
  await withServer(
    [serviceOf(KV, { put })],
    () => undefined,
    async port => {
      const [socket, block] = dial(port, '/etcdserverpb.KV/Put');
      const large = Buffer.concat([block, encodeHeaders([['x-large', 'a'.repeat(16_150)]])]);
      const closed = untilClosed(socket);
      // It never acknowledges our settings, so nghttp2 does not hold it to them.
      socket.write(Buffer.concat([PREFACE, encodeSettings([])]));
      socket.write(encodeFrame(FRAME.HEADERS, FLAG.END_HEADERS, 1, block));
      socket.write(encodeFrame(FRAME.HEADERS, FLAG.END_HEADERS, 3, large));
      await within('the connection is closed', closed);
    },
  );
});

test('a request that its client takes back is counted as cancelled; one connection serves any number', async () => {
  const counted: string[] = [];
  const cancelled = Promise.withResolvers<void>();
  const taking = new AbortController();
  const put = () => {
    taking.abort();
    return new Promise<never>(() => undefined);
  };
  const methods: Methods<typeof KV> = { put, range: () => ({}) };
  await withServer(
    [serviceOf(KV, methods)],
    (_service, method, status) => {
      counted.push(`${method} ${status}`);
      if (method === 'Put') cancelled.resolve();
    },
    async port => {
      const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
      try {
        const { signal } = taking;
        await assert.rejects(callUnary(client, KV.method.put, {}, new Metadata(), { signal }));
        await within('the server counts it', cancelled.promise);
        for (let request = 0; request < 1100; request++) {
          await callUnary(client, KV.method.range, {}, new Metadata());
        }
      } finally {
        client.close();
      }
    },
  );
  assert.equal(counted[0], 'Put CANCELLED');
  assert.equal(counted.filter(one => one === 'Range OK').length, 1100);
});

test('a stream of requests begins with the first of them', async () => {
  const begun: string[] = [];
  const methods: Methods<typeof Lease> = {
    leaseKeepAlive(_caller, out) {
      begun.push('begun');
      return { message: () => begun.push('message'), end: () => out.close() };
    },
  };
  await withServer(
    [serviceOf(Lease, methods)],
    () => undefined,
    async port => {
      const session = connectHttp2(`http://127.0.0.1:${port}`);
      const open = () =>
        session.request({
          ':method': 'POST',
          ':path': '/etcdserverpb.Lease/LeaseKeepAlive',
          'content-type': 'application/grpc',
        });
      const silent = open();
      silent.on('error', () => undefined);
      const asking = open();
      asking.end(frameMessage(toBinary(LeaseKeepAliveRequestSchema, create(LeaseKeepAliveRequestSchema))));
      await within('the second is answered', once(asking.resume(), 'trailers'));
      assert.deepEqual(begun, ['begun', 'message']);
      silent.end();
      await within('the first is answered', once(silent.resume(), 'trailers'));
      session.destroy();
    },
  );
  assert.deepEqual(begun, ['begun', 'message', 'begun']);
});

test('requests on a stream whose answers nobody reads cost their sender the connection', async () => {
  let asked = 0;
  const methods: Methods<typeof Lease> = {
    leaseKeepAlive: (_caller, out) => ({
      message({ ID }) {
        asked++;
        out.send({ ID, TTL: 1n });
      },
      end: () => out.close(),
    }),
  };
  await withServer(
    [serviceOf(Lease, methods)],
    () => undefined,
    async port => {
      const [socket, block] = dial(port, '/etcdserverpb.Lease/LeaseKeepAlive');
      const request = toBinary(LeaseKeepAliveRequestSchema, create(LeaseKeepAliveRequestSchema, { ID: 7n }));
      const many = Buffer.concat(Array.from({ length: 1000 }, () => frameMessage(request)));
      const closed = untilClosed(socket);
      // Our window stays closed: no answer can be sent. What the server does not take then goes beyond its own.
      socket.write(Buffer.concat([PREFACE, encodeSettings([[SETTING.INITIAL_WINDOW_SIZE, 0]])]));
      socket.write(encodeFrame(FRAME.HEADERS, FLAG.END_HEADERS, 1, block));
      for (let batch = 0; batch < 400; batch++) socket.write(encodeFrame(FRAME.DATA, 0, 1, many));
      await within('the connection is closed', closed);
    },
  );
  assert.ok(asked <= 10_000, `${asked} answers wait for a client that does not want them`);
});

test('a call that takes one request takes no second one', async () => {
  let asked = 0;
  const methods: Methods<typeof Maintenance> = {
    snapshot(_request, _caller, out) {
      asked++;
      // Later, as a real one: by then all that was sent has been read.
      setImmediate(() => out.close());
    },
  };
  await withServer(
    [serviceOf(Maintenance, methods)],
    () => undefined,
    async port => {
      const session = connectHttp2(`http://127.0.0.1:${port}`);
      const stream = session.request({
        ':method': 'POST',
        ':path': '/etcdserverpb.Maintenance/Snapshot',
        'content-type': 'application/grpc',
      });
      stream.end(Buffer.concat(Array.from({ length: 100 }, () => frameMessage(new Uint8Array()))));
      const [trailers] = (await within('the trailers come', once(stream.resume(), 'trailers'))) as [
        IncomingHttpHeaders,
      ];
      assert.equal(trailers['grpc-status'], '0');
      session.destroy();
    },
  );
  assert.equal(asked, 1);
});

test('messages are found however the bytes are cut', () => {
  const messages = ['', 'a', 'b'.repeat(300)].map(text => Buffer.from(text));
  const bytes = Buffer.concat(messages.map(frameMessage));
  for (let step = 1; step < 30; step++) {
    const found: string[] = [];
    const reader = new MessageReader(1000);
    for (let at = 0; at < bytes.byteLength; at += step) {
      // A buffer of its own that is reused, as a socket's is.
      const chunk = Buffer.from(bytes.subarray(at, at + step));
      reader.push(chunk, message => found.push(Buffer.from(message).toString()));
      chunk.fill(0);
    }
    assert.deepEqual(found, messages.map(String));
  }
});
