import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttp2Server } from 'node:http2';
import { createServer, type Server, type Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { within } from '../../../test/support/eventually.ts';
import { freePorts } from '../../sys/free-ports.ts';
import { Channel, DEFAULT_TIMING } from './channel.ts';
import { type ConnectOptions, connectAny } from './connect.ts';
import { type EtcdEndpoint, parseEndpoints } from './endpoint.ts';

/** Longer than the test may take: nobody is waited for until he gives up. */
const timing = { ...DEFAULT_TIMING, connect: 600_000, stagger: 20 };

async function listening(t: TestContext, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', socket => sockets.add(socket.on('error', () => undefined)));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await within('the server listens', once(server.listen(0, '127.0.0.1'), 'listening'));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}

/** Answers every request, if only with an empty response. */
const willing = (t: TestContext) => {
  const server = createHttp2Server();
  server.on('stream', stream => {
    stream.respond({ 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(Buffer.alloc(5));
  });
  return listening(t, server);
};
/** Speaks HTTP/2, and answers no request. */
const unanswering = (t: TestContext) => {
  const server = createHttp2Server();
  server.on('stream', stream => stream.on('error', () => undefined));
  return listening(t, server);
};
/** Accepts, and says nothing: a frozen server. To us it is the same as an address that nobody answers at. */
const silent = (t: TestContext) => listening(t, createServer());
/** Hangs up at once. */
const hangingUp = (t: TestContext) =>
  listening(
    t,
    createServer(socket => socket.destroy()),
  );

/** A port that nobody else gets while this process lives, and that nobody listens on. */
async function refusing(): Promise<number> {
  const [port = 0] = await freePorts(1);
  return port;
}

const BAD: Readonly<Record<string, (t: TestContext) => Promise<string>>> = {
  'is silent': async t => `http://127.0.0.1:${await silent(t)}`,
  'is silent in the middle of TLS': async t => `https://127.0.0.1:${await silent(t)}`,
  'accepts the connection and answers no request': async t => `http://127.0.0.1:${await unanswering(t)}`,
  'hangs up': async t => `http://127.0.0.1:${await hangingUp(t)}`,
  'speaks no TLS': async t => `https://127.0.0.1:${await willing(t)}`,
  refuses: async () => `http://127.0.0.1:${await refusing()}`,
  'has a name that cannot be resolved': async () => 'http://store.invalid:2379',
  'is a socket file that is not there': async () => 'unix:///nowhere/at/all',
};

function options(t: TestContext, endpoints: readonly EtcdEndpoint[]): ConnectOptions {
  const stop = new AbortController();
  t.after(() => stop.abort());
  const open = (endpoint: EtcdEndpoint) => new Channel(endpoint, {}, timing);
  return { endpoints, open, stagger: timing.stagger, signal: stop.signal };
}

describe('a store is reached although the first endpoint (G2)', { timeout: 60_000 }, () => {
  for (const [what, make] of Object.entries(BAD)) {
    test(what, async t => {
      const good = `http://127.0.0.1:${await willing(t)}`;
      const channel = await connectAny(options(t, parseEndpoints([await make(t), good])));
      t.after(() => channel.close());
      assert.equal(channel.endpoint.url, good);
      assert.ok(channel.isReady);
    });
  }

  test('and all but the last one are bad, each in its way', async t => {
    const good = `http://127.0.0.1:${await willing(t)}`;
    const bad = await Promise.all(Object.values(BAD).map(make => make(t)));
    const channel = await connectAny(options(t, parseEndpoints([...bad, good])));
    t.after(() => channel.close());
    assert.equal(channel.endpoint.url, good);
  });
});

describe('connecting to any endpoint', { timeout: 60_000 }, () => {
  test('asks only the first one when it answers', async t => {
    const [first, second] = parseEndpoints([
      `http://127.0.0.1:${await willing(t)}`,
      `http://127.0.0.1:${await willing(t)}`,
    ]);
    assert.ok(first && second);
    const asked: string[] = [];
    const channel = await connectAny({
      ...options(t, [first, second]),
      stagger: 600_000,
      open: endpoint => {
        asked.push(endpoint.url);
        return new Channel(endpoint, {}, timing);
      },
    });
    t.after(() => channel.close());
    assert.deepEqual(asked, [first.url]);
  });

  test('reports the failure of each in their order when none answers', async t => {
    const urls = [`http://127.0.0.1:${await refusing()}`, 'unix:///nowhere', 'http://store.invalid:2379'];
    await assert.rejects(connectAny(options(t, parseEndpoints(urls))), (error: AggregateError) => {
      const messages = error.errors.map(({ message }: Error) => message);
      return messages.length === 3 && urls.every((url, index) => messages[index]?.includes(url));
    });
  });

  test('ends when it is aborted', async t => {
    const stop = new AbortController();
    const endpoints = parseEndpoints([`http://127.0.0.1:${await silent(t)}`]);
    const connecting = connectAny({ ...options(t, endpoints), signal: stop.signal });
    stop.abort();
    await assert.rejects(connecting);
  });
});
