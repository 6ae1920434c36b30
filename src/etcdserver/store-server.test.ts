import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { eventually, untilClosed, within } from '../../test/support/eventually.ts';
import { Cluster } from '../store/wire/generated/cluster_pb.ts';
import { Health } from '../store/wire/generated/health_pb.ts';
import { KV } from '../store/wire/generated/kv_pb.ts';
import { AlarmType, Maintenance } from '../store/wire/generated/maintenance_pb.ts';
import { Watch, type WatchResponse } from '../store/wire/generated/watch_pb.ts';
import { callUnary, openStream } from '../store/wire/service.ts';
import { storeOptions } from '../testing/store-options.ts';
import { StoreServer, type StoreServerOptions } from './store-server.ts';

const bytes = (text: string) => Uint8Array.from(Buffer.from(text));
const base64 = (text: string) => Buffer.from(text).toString('base64');

interface Running {
  readonly server: StoreServer;
  readonly client: Client;
  readonly port: number;
}

async function withStore(
  body: (running: Running) => Promise<void>,
  options: Partial<StoreServerOptions> = {},
): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'tt-store-'));
  try {
    await using server = await StoreServer.start({ ...storeOptions(dataDir), ...options });
    const port = server.ports[0] ?? 0;
    const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    try {
      await body({ server, client, port });
    } finally {
      client.close();
    }
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

const put = (client: Client, key: string, value: Uint8Array) =>
  callUnary(client, KV.method.put, { key: bytes(key), value }, new Metadata());

const post = async (port: number, path: string, body: object) => {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
};

test('gRPC, the JSON gateway and the pages share one port', async () => {
  await withStore(async ({ client, port }) => {
    await put(client, 'foo', bytes('bar'));
    const range = await post(port, '/v3/kv/range', { key: base64('foo') });
    assert.equal(range.status, 200);
    assert.equal(range.body['count'], '1');
    const [kv] = range.body['kvs'] as { key: string; value: string; mod_revision: string }[];
    assert.deepEqual([kv?.key, kv?.value, kv?.mod_revision], [base64('foo'), base64('bar'), '2']);

    const txn = await post(port, '/v3/kv/txn', {
      compare: [{ target: 'VERSION', result: 'EQUAL', key: base64('foo'), version: '1' }],
      success: [{ request_put: { key: base64('foo'), value: base64('baz') } }],
    });
    assert.equal(txn.body['succeeded'], true);
    assert.deepEqual((await post(port, '/v3/kv/deleterange', { key: base64('foo') })).body['deleted'], '1');

    const empty = await post(port, '/v3/kv/put', {});
    assert.equal(empty.status, 400);
    assert.equal(empty.body['error'], 'etcdserver: key is not provided');
    assert.equal(empty.body['code'], 3);
    assert.equal((await post(port, '/v3/kv/range', { nonsense: 1 })).status, 400);
    assert.equal((await fetch(`http://127.0.0.1:${port}/v3/kv/range`)).status, 405);
    assert.equal((await fetch(`http://127.0.0.1:${port}/nothing`)).status, 404);

    assert.deepEqual(await (await fetch(`http://127.0.0.1:${port}/health`)).json(), { health: 'true' });
    const version = (await (await fetch(`http://127.0.0.1:${port}/version`)).json()) as {
      etcdserver: string;
    };
    assert.match(version.etcdserver, /^3\.4\./);
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    assert.match(metrics, /^etcd_server_has_leader 1$/m);
    assert.match(metrics, /grpc_method="Put",grpc_code="OK"\} 1/);
  });
});

test('a watch over the gateway is one line per response', async () => {
  await withStore(async ({ client, port }) => {
    const request = httpRequest({ port, host: '127.0.0.1', method: 'POST', path: '/v3/watch' });
    request.end(JSON.stringify({ create_request: { key: base64('foo') } }));
    const [response] = (await within('the response comes', once(request, 'response'))) as [
      AsyncIterable<Buffer>,
    ];
    let text = '';
    for await (const chunk of response) {
      text += chunk.toString();
      if (text.includes('"created":true') && !text.includes('events')) await put(client, 'foo', bytes('bar'));
      if (text.includes('events') && text.endsWith('\n')) break;
    }
    const [, event] = text
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as { result: { events?: { kv: object }[] } });
    assert.deepEqual(event?.result.events?.[0]?.kv, {
      key: base64('foo'),
      create_revision: '2',
      mod_revision: '2',
      version: '1',
      value: base64('bar'),
    });
    request.destroy();
  });
});

test('requests that are too large are refused, the larger ones before they are read', async () => {
  await withStore(async ({ client }) => {
    await put(client, 'fits', new Uint8Array(1_500_000));
    await assert.rejects(put(client, 'a', new Uint8Array(1_600_000)), {
      code: 3,
      details: 'etcdserver: request is too large',
    });
    await assert.rejects(put(client, 'a', new Uint8Array(2_200_000)), { code: 8 });
    const ops = Array.from({ length: 129 }, (_, index) => ({
      request: { case: 'requestPut' as const, value: { key: bytes(`k${index}`) } },
    }));
    const txn = (success: typeof ops) => callUnary(client, KV.method.txn, { success }, new Metadata());
    await assert.rejects(txn(ops), { details: 'etcdserver: too many operations in txn request' });
    assert.equal((await txn(ops.slice(1))).responses.length, 128);
  });
});

test('a transaction that reads too much is refused before it writes', async () => {
  await withStore(async ({ client }) => {
    await put(client, 'large', new Uint8Array(1_400_000));
    const range = { request: { case: 'requestRange' as const, value: { key: bytes('large') } } };
    const write = { request: { case: 'requestPut' as const, value: { key: bytes('new') } } };
    const txn = (ranges: number) => {
      const success = [write, ...Array.from({ length: ranges }, () => range)];
      return callUnary(client, KV.method.txn, { success }, new Metadata());
    };
    await assert.rejects(txn(50), { code: 8, details: /more than 67108864 bytes/ });
    const { count } = await callUnary(client, KV.method.range, { key: bytes('new') }, new Metadata());
    assert.equal(count, 0n);
    assert.equal((await txn(2)).responses.length, 3);
  });
});

// E6
test('a quiet watcher gets progress reports at the interval that was set', async () => {
  await withStore(
    async ({ client }) => {
      const stream = openStream(client, Watch.method.watch, new Metadata());
      stream.on('error', () => undefined);
      try {
        const value = { key: bytes('k'), progressNotify: true };
        stream.write({ requestUnion: { case: 'createRequest', value } });
        await within('something comes', once(stream, 'data'));
        const [{ header, events }] = (await within('something comes', once(stream, 'data'))) as [
          WatchResponse,
        ];
        assert.deepEqual([header?.revision, events], [1n, []]);
      } finally {
        stream.cancel();
      }
    },
    { progressMs: 20 },
  );
});

test('what is not there answers UNIMPLEMENTED by name', async () => {
  await withStore(async ({ client }) => {
    await assert.rejects(
      callUnary(client, Cluster.method.memberAdd, {}, new Metadata()),
      ({ code, details }: ServiceError) => code === 12 && details.includes('MemberAdd'),
    );
  });
});

test('the health protocol of gRPC knows the server and its services', async () => {
  await withStore(async ({ client }) => {
    const check = (service: string) => callUnary(client, Health.method.check, { service }, new Metadata());
    assert.equal((await check('')).status, 1);
    assert.equal((await check('etcdserverpb.KV')).status, 1);
    await assert.rejects(check('nothing'), { code: 5 });
  });
});

test('past the quota puts are refused until there is room and the alarm is disarmed', async () => {
  await withStore(
    async ({ client, port }) => {
      const fill = async () => {
        for (let index = 0; index < 100; index++) await put(client, `k${index}`, new Uint8Array(50_000));
      };
      await assert.rejects(fill(), { code: 8, details: 'etcdserver: mvcc: database space exceeded' });
      assert.equal((await fetch(`http://127.0.0.1:${port}/health`)).status, 503);

      const everything = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };
      const { header } = await callUnary(client, KV.method.deleteRange, everything, new Metadata());
      const revision = header?.revision ?? 0n;
      await callUnary(client, KV.method.compact, { revision, physical: true }, new Metadata());
      await callUnary(client, Maintenance.method.defragment, {}, new Metadata());
      await assert.rejects(put(client, 'k', bytes('x')), { code: 8 }, 'the alarm stays until it is disarmed');

      const disarm = { action: 2, alarm: AlarmType.NOSPACE } as const;
      const disarmed = await callUnary(client, Maintenance.method.alarm, disarm, new Metadata());
      assert.deepEqual(
        disarmed.alarms.map(({ alarm }) => alarm),
        [AlarmType.NOSPACE],
      );
      await put(client, 'k', bytes('x'));
    },
    { quota: 2_000_000n },
  );
});

/** Bytes in buffers that are still referenced. */
function heldBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().arrayBuffers;
}

test('a watcher that does not read costs no memory, and in the end misses nothing', async () => {
  await withStore(async ({ client, server, port }) => {
    const slow = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    const stream = openStream(slow, Watch.method.watch, new Metadata());
    stream.on('error', () => undefined);
    try {
      stream.write({ requestUnion: { case: 'createRequest', value: { key: bytes('k') } } });
      await within('something comes', once(stream, 'data'));
      stream.pause();
      const before = heldBytes();
      const value = new Uint8Array(100_000);
      for (let index = 0; index < 150; index++) await put(client, 'k', value);
      // V8 frees buffers beside the program, a moment after it has found that nobody holds them.
      await eventually('15 MB of events are held in less than 6', () =>
        Promise.resolve(heldBytes() - before < 6_000_000),
      );
      assert.equal(server.revision, 151n);

      const revisions: bigint[] = [];
      for await (const response of stream as AsyncIterable<WatchResponse>) {
        revisions.push(...response.events.map(event => event.kv?.modRevision ?? 0n));
        if (revisions.length === 150) break;
      }
      assert.deepEqual(
        revisions,
        Array.from({ length: 150 }, (_, index) => BigInt(index + 2)),
      );
    } finally {
      stream.cancel();
      slow.close();
    }
  });
});

test('a connection that says nothing sensible is closed, and the others go on', async () => {
  await withStore(async ({ client, port }) => {
    const socket = connectSocket(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand now something else entirely, long enough to be a frame',
    );
    socket.resume();
    await within('the connection is closed', untilClosed(socket));
    await put(client, 'k', bytes('x'));
  });
});
