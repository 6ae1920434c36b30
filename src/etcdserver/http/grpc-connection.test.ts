import assert from 'node:assert/strict';
import { once } from 'node:events';
import { performServerHandshake } from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { within } from '../../../test/support/eventually.ts';
import { ConnectionLimits } from './grpc-connection.ts';

/** The limits of a connection, and which of them were exceeded. */
async function withLimits(
  body: (limits: ConnectionLimits, exceeded: readonly string[]) => void,
): Promise<void> {
  const server = createServer().listen(0, '127.0.0.1');
  await within('the server listens', once(server, 'listening'));
  const address = server.address();
  assert.ok(address !== null && typeof address !== 'string');
  const client = connect(address.port, '127.0.0.1');
  client.on('error', () => undefined);
  try {
    const [socket] = (await within('the client connects', once(server, 'connection'))) as [Socket];
    const session = performServerHandshake(socket);
    session.on('error', () => undefined);
    const exceeded: string[] = [];
    body(new ConnectionLimits(session, limit => exceeded.push(limit)), exceeded);
    session.destroy();
  } finally {
    client.destroy();
    server.close();
  }
}

const MEBIBYTE = 1024 * 1024;

test('what was kept of a request is not held against its sender when it is gone', () =>
  withLimits((limits, exceeded) => {
    for (let request = 0; request < 100; request++) {
      limits.received(MEBIBYTE, MEBIBYTE);
      limits.released(MEBIBYTE);
    }
    assert.deepEqual(exceeded, []);
    for (let request = 0; request < 17; request++) limits.received(MEBIBYTE, MEBIBYTE);
    assert.deepEqual(exceeded, ['too many bytes of unfinished requests']);
  }));

test('requests that were waited for may be taken back, many at a time', () =>
  withLimits((limits, exceeded) => {
    const waited = performance.now() - 1000;
    for (let request = 0; request < 500; request++) limits.takenBack(waited);
    assert.deepEqual(exceeded, []);
    for (let request = 0; request < 500; request++) limits.takenBack(performance.now());
    assert.deepEqual(exceeded, ['too many requests that are taken back at once']);
  }));

test('as many requests as one likes, if the answers are waited for', () =>
  withLimits((limits, exceeded) => {
    for (let request = 0; request < 5000; request++) {
      limits.began();
      limits.finished();
    }
    assert.deepEqual(exceeded, []);
    for (let request = 0; request < 2000; request++) limits.began();
    assert.deepEqual(exceeded, ['too many requests without waiting for answers']);
  }));

test('headers of 16 KiB and no more, counted as HTTP/2 counts them', () =>
  withLimits((limits, exceeded) => {
    const sized = (bytes: number) => ({ 'x-large': 'a'.repeat(bytes - 'x-large'.length - 32) });
    limits.made(sized(16 * 1024));
    assert.deepEqual(exceeded, []);
    limits.made(sized(16 * 1024 + 1));
    assert.deepEqual(exceeded, ['too large headers of a request']);
  }));
