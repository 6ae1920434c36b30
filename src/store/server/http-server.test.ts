import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { Core } from './core.ts';
import { Gateway } from './gateway.ts';
import { httpServer } from './http-server.ts';
import type { Metrics } from './metrics.ts';

/** Connections are handed over as the store's listener does it. */
async function serve(t: TestContext) {
  const core: Partial<Core> = { troubles: [] };
  const http = httpServer(core as Core, new Gateway([], 1024), {} as Metrics);
  const listener = createServer(socket => http.emit('connection', socket)).listen(0, '127.0.0.1');
  t.after(() => {
    http.close();
    http.closeAllConnections();
    listener.close();
  });
  await once(listener, 'listening');
  return { http, port: (listener.address() as AddressInfo).port };
}

const REQUESTS = {
  'a header': 'GET /health HTTP/1.1\r\nhost: x\r\n',
  'a body': 'POST /health HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n',
};

for (const [what, begun] of Object.entries(REQUESTS)) {
  test(`a client that never ends ${what} is let go`, async t => {
    const { http, port } = await serve(t);
    [http.headersTimeout, http.requestTimeout] = [50, 50];
    const socket = connect(port, '127.0.0.1').resume();
    socket.write(begun);
    await once(socket, 'close');
  });
}

test('a connection serves one request after the other', async t => {
  const { port } = await serve(t);
  const socket = connect(port, '127.0.0.1').setEncoding('utf8');
  for (let request = 0; request < 2; request++) {
    socket.write('GET /health HTTP/1.1\r\nhost: x\r\n\r\n');
    const [answer] = (await once(socket, 'data')) as [string];
    assert.match(answer, /^HTTP\/1\.1 200 .*\{"health":"true"\}/s);
  }
  socket.destroy();
});
