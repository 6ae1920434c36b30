import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { test } from 'node:test';
import { within } from '../../test/support/eventually.ts';
import { Ip } from '../base/ip.ts';
import { getsockopt } from './libc.ts';
import { bindTcpSocket } from './tcp-socket.ts';

/** include/uapi/linux/in.h and tcp.h. */
const IPPROTO_TCP = 6;
const TCP_MAXSEG = 2;

test('both sides of a connection send no more in a packet than was announced', async t => {
  const server = createServer(socket => socket.pipe(socket)).listen({
    fd: bindTcpSocket(Ip.parse('127.0.0.1'), 0, 536),
  });
  t.after(() => server.close());
  await within('it listens', once(server, 'listening'));
  const { port } = server.address() as AddressInfo;
  const client = connect(port, '127.0.0.1');
  t.after(() => client.destroy());
  await within('a connection', once(client, 'connect'));
  // No interface of Node.js gives the descriptor.
  const { fd } = (client as unknown as { readonly _handle: { readonly fd: number } })._handle;
  const most = Buffer.from(getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, 4)).readInt32LE();
  // Options of TCP take some of it.
  assert.ok(most <= 536 && most > 400, `${most}`);
});

test('a port in use and an address of another host are named', async t => {
  const server = createServer().listen({ fd: bindTcpSocket(Ip.parse('127.0.0.1'), 0, 536) });
  t.after(() => server.close());
  await within('it listens', once(server, 'listening'));
  const { port } = server.address() as AddressInfo;
  assert.throws(() => bindTcpSocket(Ip.parse('192.0.2.1'), port, 536), {
    code: 'EADDRNOTAVAIL',
    message: new RegExp(`192\\.0\\.2\\.1:${port}`),
    hint: 'the address must be one of this host',
  });
  const second = createServer();
  const failed = once(second.listen({ fd: bindTcpSocket(Ip.parse('127.0.0.1'), 0, 536) }), 'listening');
  await within('another port', failed);
  second.close();
  assert.throws(() => bindTcpSocket(Ip.parse('127.0.0.1'), port, 536), { code: 'EADDRINUSE' });
});
