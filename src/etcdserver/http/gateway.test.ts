/** Large answers as JSON: what one client asks for holds nobody else up. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { eventually } from '../../../test/support/eventually.ts';
import { KV } from '../../store/wire/generated/kv_pb.ts';
import { callUnary } from '../../store/wire/service.ts';
import { storeOptions } from '../../testing/store-options.ts';
import { StoreServer } from '../store-server.ts';

const MIB = 1024 * 1024;
/** Every key. */
const EVERYTHING = { key: 'AA==', range_end: 'AA==' };

interface Server {
  readonly port: number;
  /** Puts `count` keys with values of `bytes`. */
  fill(count: number, bytes: number): Promise<void>;
  ask(path: string, body: object): Promise<{ status: number; text: string }>;
}

async function serve(t: TestContext): Promise<Server> {
  const dataDir = mkdtempSync(join(tmpdir(), 'tt-gateway-'));
  const server = await StoreServer.start(storeOptions(dataDir));
  const port = server.ports[0] ?? 0;
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  t.after(async () => {
    client.close();
    await server[Symbol.asyncDispose]();
    rmSync(dataDir, { recursive: true, force: true });
  });
  return {
    port,
    async fill(count, bytes) {
      const value = Buffer.alloc(bytes, 'x');
      for (let from = 0; from < count; from += 128) {
        const success = Array.from({ length: Math.min(128, count - from) }, (_, index) => ({
          request: { case: 'requestPut' as const, value: { key: Buffer.from(`k${from + index}`), value } },
        }));
        await callUnary(client, KV.method.txn, { success }, new Metadata());
      }
    },
    async ask(path, body) {
      const init = { method: 'POST', body: JSON.stringify(body) };
      const response = await fetch(`http://127.0.0.1:${port}/v3/${path}`, init);
      return { status: response.status, text: await response.text() };
    },
  };
}

test('E2: an answer that is too large is refused before it is read, and says what to do', async t => {
  const { fill, ask } = await serve(t);
  await fill(400, 10_000);
  await fill(1, 1.4 * MIB);
  const requests = [
    ['kv/range', EVERYTHING],
    ['kv/range', { ...EVERYTHING, sort_order: 'DESCEND' }],
    ['kv/range', { ...EVERYTHING, revision: 5 }],
    ['kv/txn', { success: Array.from({ length: 3 }, () => ({ request_range: EVERYTHING })) }],
  ] as const;
  for (const [path, body] of requests) {
    const { status, text } = await ask(path, body);
    assert.equal(status, 429, path);
    assert.match(text, /more than 2097152 bytes.*limit, keys_only.*gRPC/);
  }
  const few = await ask('kv/range', { ...EVERYTHING, limit: 1 });
  assert.equal((JSON.parse(few.text) as { kvs: unknown[] }).kvs.length, 1, 'any one value can be read');
  assert.equal((await ask('kv/range', { ...EVERYTHING, keys_only: true })).status, 200);
  assert.equal((await ask('kv/range', { ...EVERYTHING, count_only: true })).status, 200);
});

test('E2: what would change something and answer too much changes nothing', async t => {
  const { fill, ask } = await serve(t);
  await fill(400, 10_000);
  const put = { request_put: { key: 'bmV3', value: 'bmV3' } };
  const everything = { ...EVERYTHING, prev_kv: true };
  const requests = [
    ['kv/txn', { success: [put, { request_range: EVERYTHING }] }],
    ['kv/txn', { success: [put, { request_range: { ...EVERYTHING, sort_order: 'DESCEND' } }] }],
    ['kv/txn', { success: [put, { request_txn: { success: [{ request_range: EVERYTHING }] } }] }],
    ['kv/txn', { success: [{ request_delete_range: everything }] }],
    ['kv/deleterange', everything],
  ] as const;
  for (const [path, body] of requests) {
    const { status, text } = await ask(path, body);
    assert.equal(status, 429, path);
    assert.match(text, /more than 2097152 bytes/);
  }
  const { text } = await ask('kv/range', { ...EVERYTHING, count_only: true });
  assert.equal((JSON.parse(text) as { count: string }).count, '400');
});

test('E2: a large answer is made in another thread, and is the same as a small one', async t => {
  const { fill, ask } = await serve(t);
  await fill(5000, 100);
  const whole = JSON.parse((await ask('kv/range', EVERYTHING)).text) as {
    count: string;
    kvs: { key: string }[];
  };
  assert.equal(whole.count, '5000');
  for (const at of [0, 2500, 4999]) {
    const kv = whole.kvs[at];
    const alone = JSON.parse((await ask('kv/range', { key: kv?.key })).text) as { kvs: unknown[] };
    assert.deepEqual(alone.kvs, [kv]);
  }
});

test('E2: answers that nobody reads are bounded, and make room when their clients leave', async t => {
  const { port, fill, ask } = await serve(t);
  await fill(1, 1.4 * MIB);
  const body = JSON.stringify(EVERYTHING);
  const request = `POST /v3/kv/range HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  const sockets = Array.from({ length: 60 }, () => {
    const socket = connect(port, '127.0.0.1').pause();
    return socket.on('error', () => undefined);
  });
  try {
    for (const socket of sockets) socket.write(request);
    await eventually('a further answer is refused', async () => {
      const { status, text } = await ask('kv/range', EVERYTHING);
      return status === 429 && text.includes('too many large answers');
    });
    assert.equal((await ask('kv/range', { key: 'bm9uZQ==' })).status, 200, 'a small one is not');
  } finally {
    for (const socket of sockets) socket.destroy();
  }
  await eventually('there is room again', async () => (await ask('kv/range', EVERYTHING)).status === 200);
});
