import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { within } from '../../../test/support/eventually.ts';
import { silentLogger } from '../../base/log.ts';
import { UnprovenConnections } from './unproven-connections.ts';

/** Connections of which two may be unproven at once. */
async function withTwo(
  body: (unproven: UnprovenConnections, next: () => Promise<Connection>) => Promise<void>,
): Promise<void> {
  const unproven = new UnprovenConnections(2, silentLogger);
  const server = createServer().listen(0, '127.0.0.1');
  await within('the server listens', once(server, 'listening'));
  const address = server.address();
  assert.ok(address !== null && typeof address !== 'string');
  const { port } = address;
  const sockets: Socket[] = [];
  try {
    await body(unproven, async () => {
      sockets.push(connect(port, '127.0.0.1').on('error', () => undefined));
      const [socket] = (await within('the client connects', once(server, 'connection'))) as [Socket];
      sockets.push(socket);
      return { socket, forget: unproven.add(socket) };
    });
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

interface Connection {
  readonly socket: Socket;
  readonly forget: () => void;
}

const open = (...connections: readonly Connection[]) => connections.map(({ socket }) => !socket.destroyed);

test('when there are too many, the oldest one is closed, and no other', () =>
  withTwo(async (_, next) => {
    const [first, second] = [await next(), await next()];
    assert.deepEqual(open(first, second), [true, true]);
    const third = await next();
    assert.deepEqual(open(first, second, third), [false, true, true]);
    const fourth = await next();
    assert.deepEqual(open(second, third, fourth), [false, true, true]);
  }));

test('a connection that has proven itself is not closed, and takes no place', () =>
  withTwo(async (unproven, next) => {
    const [client, silent] = [await next(), await next()];
    unproven.delete(client.socket);
    const another = await next();
    assert.deepEqual(open(client, silent, another), [true, true, true]);
    const last = await next();
    assert.deepEqual(open(client, silent, another, last), [true, false, true, true]);
  }));

test('a connection that has ended takes no place', () =>
  withTwo(async (_, next) => {
    const [first, second] = [await next(), await next()];
    first.forget();
    const third = await next();
    assert.deepEqual(open(second, third), [true, true]);
  }));
