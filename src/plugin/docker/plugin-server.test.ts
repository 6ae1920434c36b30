import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import * as v from 'valibot';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/log.ts';
import { PluginServer } from './plugin-server.ts';

const DEADLINE = { timeout: 60_000 };

async function serve(t: TestContext, reading?: number) {
  const directory = mkdtempSync(join(tmpdir(), 'tt-plugin-server-'));
  const path = join(directory, 's');
  const asked: unknown[] = [];
  const calls = {
    '/Call': {
      schema: v.object({ a: v.number() }),
      answer: (body: unknown) => ({ asked: asked.push(body) }),
    },
  };
  const parts = {
    calls,
    clock: systemClock,
    logger: silentLogger,
    ...(reading !== undefined && { reading }),
  };
  const server = await PluginServer.listen({ path }, parts);
  t.after(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });
  return { path, asked };
}

/** What is answered to these bytes until the server ends the connection. */
function answerTo(path: string, bytes: string | Buffer): Promise<string> {
  return new Promise(resolve => {
    let answer = '';
    const socket = connect({ path, allowHalfOpen: true });
    socket.on('data', piece => (answer += String(piece)));
    socket.on('end', () => socket.end());
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(answer));
    socket.write(bytes);
  });
}

const request = (words: string, length: number, body: string | Buffer) =>
  Buffer.concat([
    Buffer.from(`${words} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`),
    Buffer.from(body),
  ]);

test('a request that does not end is let go of, wherever it stops', DEADLINE, async t => {
  const { path, asked } = await serve(t, 200);
  const pieces = [
    '',
    'POST /Call HTTP/1.1\r\nHo',
    request('POST /Call', 100, ''),
    request('POST /Call', 100, '{"a"'),
  ];
  const answers = await Promise.all(pieces.map(piece => answerTo(path, piece)));
  for (const answer of answers) assert.match(answer, /^HTTP\/1\.1 408 /);
  assert.deepEqual(asked, []);
});

test('what is no call is refused, and the next one is answered', DEADLINE, async t => {
  const { path, asked } = await serve(t);
  for (const [status, bytes] of [
    [404, request('GET /Call', 0, '')],
    [404, request('PUT /Call', 7, '{"a":1}')],
    [404, request('POST /toString', 7, '{"a":1}')],
    [404, request('POST http://x/Call', 7, '{"a":1}')],
    [400, request('BREW /Call', 0, '')],
    [400, request('POST /Call', 0, '')],
    [400, request('POST /Call', 7, '{"a":"1')],
    [400, request('POST /Call', 200_000, '['.repeat(200_000))],
    // No more than is read: what is still being written when the answer comes would hide it.
    [400, request('POST /Call', 9 << 20, Buffer.alloc((8 << 20) + 1, ' '))],
    [400, 'POST /Call HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n'],
    [400, '\u0016\u0003\u0001\u0002'],
    [431, `POST /Call HTTP/1.1\r\nHost: x\r\nA: ${'x'.repeat(20_000)}\r\n\r\n`],
  ] as const) {
    const answer = await answerTo(path, bytes);
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `), String(bytes).slice(0, 40));
  }
  assert.deepEqual(asked, []);
  assert.match(await answerTo(path, request('POST /Call', 7, '{"a":1}')), /200 OK[^]*\{"asked":1\}/);
});
