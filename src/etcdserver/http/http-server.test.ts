import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { untilClosed, within } from '../../../test/support/eventually.ts';
import { recordingLogger } from '../../base/log.ts';
import { KV } from '../../store/wire/generated/kv_pb.ts';
import { fc } from '../../testing/properties.ts';
import type { Core } from '../core.ts';
import { type GrpcStatus, RpcError } from '../errors.ts';
import type { Metrics } from '../metrics.ts';
import { type Service, serviceOf } from '../rpc.ts';
import { Gateway } from './gateway.ts';
import { httpServer } from './http-server.ts';

/** Connections are handed over as the store's listener does it. */
async function serve(
  t: TestContext,
  services: readonly Service[] = [],
  core: Partial<Core> = { problems: [] },
) {
  const log = recordingLogger();
  const http = httpServer({
    core: core as Core,
    gateway: new Gateway(services, 1024),
    metrics: {} as Metrics,
    log,
    enrollment: undefined,
  });
  const listener = createServer(socket => http.emit('connection', socket)).listen(0, '127.0.0.1');
  t.after(() => {
    http.close();
    http.closeAllConnections();
    listener.close();
  });
  await within('the server listens', once(listener, 'listening'));
  return { http, log, port: (listener.address() as AddressInfo).port };
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
    await within('the connection is closed', untilClosed(socket));
  });
}

test('a connection serves one request after the other', async t => {
  const { port } = await serve(t);
  const socket = connect(port, '127.0.0.1').setEncoding('utf8');
  for (let request = 0; request < 2; request++) {
    socket.write('GET /health HTTP/1.1\r\nhost: x\r\n\r\n');
    const [answer] = (await within('something comes', once(socket, 'data'))) as [string];
    assert.match(answer, /^HTTP\/1\.1 200 .*\{"health":"true"\}/s);
  }
  socket.destroy();
});

test('whatever is asked for, the store answers and lives on', async t => {
  const { port } = await serve(t);
  const word = fc.constantFrom(
    '/',
    '//',
    '?',
    '#',
    '%',
    '%zz',
    '[',
    ']',
    '@',
    ':',
    'http:',
    'health',
    '..',
    '*',
    '\\',
  );
  const target = fc.oneof(
    fc.array(word, { minLength: 1, maxLength: 6 }).map(words => words.join('')),
    fc.string({ minLength: 1, maxLength: 12 }),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('GET', 'POST', 'OPTIONS'), target, async (method, path) => {
      const socket = connect(port, '127.0.0.1').setEncoding('utf8');
      socket.write(`${method} ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
      const [answer] = (await within('something comes', once(socket, 'data'))) as [string];
      assert.match(answer, /^HTTP\/1\.1 (200|400|404) /);
      socket.destroy();
    }),
    { numRuns: 300 },
  );
});

test('a defect of ours ends the connection it happens on, and is reported', async t => {
  const { port, log } = await serve(t, [], {
    get problems(): never {
      throw new TypeError('a defect');
    },
  });
  const socket = connect(port, '127.0.0.1').resume();
  socket.write('GET /health HTTP/1.1\r\nhost: x\r\n\r\n');
  await within('the connection is closed', untilClosed(socket));
  assert.match(JSON.stringify(log.records), /a defect in the store/);
});

const STATUSES = [
  ['INVALID_ARGUMENT', 400],
  ['UNAUTHENTICATED', 401],
  ['PERMISSION_DENIED', 403],
  ['NOT_FOUND', 404],
  ['FAILED_PRECONDITION', 412],
  ['RESOURCE_EXHAUSTED', 429],
  ['INTERNAL', 500],
  ['UNAVAILABLE', 503],
] as const satisfies readonly (readonly [GrpcStatus, number])[];

for (const [code, status] of STATUSES) {
  test(`the gateway translates ${code} to HTTP's ${status}`, async t => {
    const refusing = serviceOf(KV, {
      put: () => {
        throw new RpcError(code, 'in so many words');
      },
    });
    const { port } = await serve(t, [refusing]);
    const answer = await fetch(`http://127.0.0.1:${port}/v3/kv/put`, { method: 'POST', body: '{}' });
    assert.equal(answer.status, status);
    assert.partialDeepStrictEqual(await answer.json(), { message: 'in so many words' });
  });
}

test('the gateway reads no request that is larger than allowed', async t => {
  const { port } = await serve(t, [serviceOf(KV, { put: () => assert.fail('it was served') })]);
  const body = JSON.stringify({ key: 'a'.repeat(2000) });
  const answer = await fetch(`http://127.0.0.1:${port}/v3/kv/put`, { method: 'POST', body });
  assert.equal(answer.status, 429);
});
