import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { within } from '../../../test/support/eventually.ts';
import { Channel, DEFAULT_TIMING } from './channel.ts';
import { parseEndpoints } from './endpoint.ts';

test('a server that says nothing is given up in time, even when the wall clock is set back meanwhile', {
  timeout: 60_000,
}, async t => {
  const sockets: Socket[] = [];
  const server = createServer(socket => sockets.push(socket.on('error', () => undefined))).listen(
    0,
    '127.0.0.1',
  );
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await within('the server listens', once(server, 'listening'));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const [endpoint] = parseEndpoints([`http://127.0.0.1:${address.port}`]);
  assert.ok(endpoint);
  const channel = new Channel(endpoint, {}, { ...DEFAULT_TIMING, connect: 200 });
  t.after(() => channel.close());

  const { now } = Date;
  const mock = t.mock.method(Date, 'now', () => now() + 86_400_000);
  const connected = channel.connected();
  mock.mock.restore();
  await assert.rejects(connected, { code: 'UNAVAILABLE', message: /no connection within 200 ms/ });
});
