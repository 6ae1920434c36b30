import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { silentLogger } from '../../base/log.ts';
import { Listener } from './listener.ts';

/** What the kernel's timer of a connection waits for: 2 is a keep-alive probe (Documentation/networking/proc_net_tcp.rst). */
function timerOf(localPort: number, remotePort: number): string | undefined {
  const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, '0');
  const [, timer] =
    new RegExp(`:${hex(localPort)} \\w+:${hex(remotePort)} 01 \\w+:\\w+ (\\d\\d):`).exec(
      readFileSync('/proc/net/tcp', 'utf8'),
    ) ?? [];
  return timer;
}

test('the kernel looks after connections whose other end may be gone', async () => {
  let taken: (socket: Socket) => void;
  const accepted = new Promise<Socket>(resolve => (taken = resolve));
  const protocols = { http2: () => assert.fail('no HTTP/2'), http1: (socket: Socket) => taken(socket) };
  await using listener = await Listener.open({ host: '127.0.0.1', port: 0 }, protocols, silentLogger);
  const client = connect(listener.port, '127.0.0.1');
  await once(client, 'connect');
  client.write('GET / HTTP/1.1\r\n');
  await accepted;
  assert.equal(timerOf(listener.port, client.localPort ?? 0), '02');
  client.destroy();
});
