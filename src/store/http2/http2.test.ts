/** Our end of HTTP/2 against Node's own, which is another implementation (nghttp2). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2';
import { connect as connectSocket, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { Http2Connection } from './connection.ts';
import {
  ConnectionError,
  ERROR,
  encodeFrame,
  encodeSettings,
  FLAG,
  FRAME,
  FrameReader,
  PREFACE,
} from './frames.ts';
import { encodeHeaders, HpackDecoder } from './hpack.ts';
import { decodeHuffman } from './huffman.ts';
import type { Http2Stream, StreamSink } from './stream.ts';

type OnRequest = (stream: Http2Stream, headers: ReadonlyMap<string, string>, ended: boolean) => StreamSink;

const OK = encodeHeaders([[':status', '200']]);
const TRAILERS = encodeHeaders([['x-end', 'yes']]);

/** Sends back the headers it got as `x-*`, then the body. */
const echo: OnRequest = (stream, headers, ended) => {
  const told = [...headers].filter(([name]) => name.startsWith('x-'));
  stream.respond(encodeHeaders([[':status', '200'], ...told]));
  if (ended) stream.end(TRAILERS);
  return {
    data(chunk, last) {
      stream.write(Buffer.from(chunk));
      if (last) stream.end(TRAILERS);
    },
    reset: () => undefined,
    drained: () => undefined,
  };
};

async function withServer(
  onRequest: OnRequest,
  body: (port: number, sockets: ReadonlySet<Socket>) => Promise<void>,
  onDefect: (error: unknown) => void = assert.ifError,
): Promise<void> {
  const sockets = new Set<Socket>();
  const server = createServer(socket => {
    sockets.add(socket);
    new Http2Connection(socket, onRequest, onDefect);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const address = server.address();
    assert.ok(address !== null && typeof address !== 'string');
    await body(address.port, sockets);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

async function withClient(
  onRequest: OnRequest,
  body: (session: ClientHttp2Session) => Promise<void>,
): Promise<void> {
  await withServer(onRequest, async port => {
    // Node's client would give up a session that holds more than 10 MB.
    const session = connect(`http://127.0.0.1:${port}`, { maxSessionMemory: 1000 });
    try {
      await body(session);
    } finally {
      session.destroy();
    }
  });
}

async function ask(session: ClientHttp2Session, headers: object, body: Buffer) {
  const request = session.request({ ':method': 'POST', ':path': '/', ...headers });
  const response = once(request, 'response') as Promise<[IncomingHttpHeaders]>;
  const trailers = once(request, 'trailers') as Promise<[IncomingHttpHeaders]>;
  request.end(body);
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return { headers: (await response)[0], trailers: (await trailers)[0], body: Buffer.concat(chunks) };
}

test('every byte of a header survives, coded and plain, indexed and not', async () => {
  const printable = String.fromCharCode(...Array.from({ length: 95 }, (_, index) => 32 + index)).trim();
  const high = String.fromCharCode(...Array.from({ length: 128 }, (_, index) => 128 + index));
  await withClient(echo, async session => {
    for (let round = 0; round < 3; round++) {
      const headers = {
        'x-printable': printable,
        'x-high': high,
        'x-round': String(round),
        'x-long': 'a'.repeat(5000),
      };
      const answer = await ask(session, headers, Buffer.from('body'));
      for (const [name, value] of Object.entries(headers)) assert.equal(answer.headers[name], value);
      assert.equal(answer.trailers['x-end'], 'yes');
      assert.equal(answer.body.toString(), 'body');
    }
  });
});

test('bodies larger than every window arrive whole, many at once', async () => {
  await withClient(echo, async session => {
    const bodies = Array.from({ length: 8 }, (_, index) => Buffer.alloc(1_500_000, `${index}abc`));
    const answers = await Promise.all(bodies.map(body => ask(session, {}, body)));
    for (const [index, { body }] of answers.entries())
      assert.ok(body.equals(bodies[index] ?? Buffer.alloc(0)));
  });
});

test('a small response is one write and the same as one in pieces', async () => {
  const whole: OnRequest = stream => ({
    data(_chunk, last) {
      if (last) stream.respondWhole(OK, Buffer.from('whole'), TRAILERS);
    },
    reset: () => undefined,
    drained: () => undefined,
  });
  await withClient(whole, async session => {
    const { body, trailers, headers } = await ask(session, {}, Buffer.from('x'));
    assert.equal(headers[':status'], 200);
    assert.equal(body.toString(), 'whole');
    assert.equal(trailers['x-end'], 'yes');
  });
});

test('a reset by the client reaches the stream', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const waiting: OnRequest = stream => {
    stream.respond(OK);
    return { data: () => undefined, reset: resolve, drained: () => undefined };
  };
  await withClient(waiting, async session => {
    const request = session.request({ ':method': 'POST', ':path': '/' });
    request.on('error', () => undefined);
    await once(request, 'response');
    request.close(8);
    await promise;
  });
});

test('a stream that is full says so, and says when there is room again', async () => {
  let drained = 0;
  let stream: Http2Stream | undefined;
  const filling: OnRequest = opened => {
    stream = opened;
    opened.respond(OK);
    opened.write(Buffer.alloc(200_000));
    return { data: () => undefined, reset: () => undefined, drained: () => drained++ };
  };
  await withClient(filling, async session => {
    const request = session.request({ ':method': 'POST', ':path': '/' });
    await once(request, 'response');
    assert.equal(stream?.writable, false);
    assert.equal(drained, 0);
    let bytes = 0;
    for await (const chunk of request) {
      bytes += (chunk as Buffer).byteLength;
      if (bytes === 200_000) break;
    }
    assert.ok(drained > 0);
  });
});

test('an :authority with a whole URL in it, as etcdctl sends it, is taken', async () => {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const seeing: OnRequest = (stream, headers) => {
    resolve(headers.get(':authority'));
    return echo(stream, headers, true);
  };
  await withServer(seeing, async port => {
    const socket = connectSocket(port, '127.0.0.1');
    const block = encodeHeaders([
      [':method', 'POST'],
      [':authority', 'http://127.0.0.1:2379'],
    ]);
    const flags = FLAG.END_HEADERS | FLAG.END_STREAM;
    socket.write(Buffer.concat([PREFACE, encodeSettings([]), encodeFrame(FRAME.HEADERS, flags, 1, block)]));
    assert.equal(await promise, 'http://127.0.0.1:2379');
    socket.destroy();
  });
});

test('whatever comes instead of frames ends the connection, and nothing else', async () => {
  await withServer(echo, async port => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.tuple(fc.integer({ min: 0, max: 10 }), fc.nat(255), fc.nat(5), fc.uint8Array({ maxLength: 40 })),
        ),
        fc.uint8Array({ maxLength: 30 }),
        async (frames, garbage) => {
          const socket = connectSocket(port, '127.0.0.1');
          socket.on('error', () => undefined);
          const sent = frames.map(([type, flags, id, payload]) => encodeFrame(type, flags, id, payload));
          socket.end(Buffer.concat([PREFACE, encodeSettings([]), ...sent, garbage]));
          socket.resume();
          await once(socket, 'close');
        },
      ),
      { numRuns: 200 },
    );
    const session = connect(`http://127.0.0.1:${port}`);
    assert.equal((await ask(session, {}, Buffer.from('alive'))).body.toString(), 'alive');
    session.destroy();
  });
});

test('frames are found however the bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 50 })),
      fc.infiniteStream(fc.integer({ min: 1, max: 20 })),
      (payloads, cuts) => {
        const bytes = Buffer.concat(
          payloads.map((payload, index) => encodeFrame(FRAME.DATA, 0, index + 1, payload)),
        );
        const found: string[] = [];
        const reader = new FrameReader((_type, _flags, id, payload) =>
          found.push(`${id} ${payload.toString('hex')}`),
        );
        for (let at = 0; at < bytes.byteLength; ) {
          const next = cuts.next().value;
          reader.push(bytes.subarray(at, at + next));
          at += next;
        }
        assert.deepEqual(
          found,
          payloads.map((payload, index) => `${index + 1} ${Buffer.from(payload).toString('hex')}`),
        );
      },
    ),
  );
});

test('a header block of any bytes is headers or a connection error', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 })), blocks => {
      const decoder = new HpackDecoder();
      for (const block of blocks) {
        try {
          decoder.decode(Buffer.from(block));
        } catch (error) {
          assert.ok(error instanceof ConnectionError);
        }
      }
    }),
    { numRuns: 2000 },
  );
});

// RFC 7541, C.4.1 and C.6.1.
test('the examples of the RFC decode', () => {
  assert.equal(decodeHuffman(Buffer.from('f1e3c2e5f23a6ba0ab90f4ff', 'hex')), 'www.example.com');
  assert.equal(
    decodeHuffman(Buffer.from('d07abe941054d444a8200595040b8166e082a62d1bff', 'hex')),
    'Mon, 21 Oct 2013 20:13:21 GMT',
  );
  assert.throws(() => decodeHuffman(Buffer.from('00ff00', 'hex')), ConnectionError);
});

test('a defect of ours ends the connection it happens on, and is told', async () => {
  const told: unknown[] = [];
  const broken: OnRequest = () => {
    throw new TypeError('a defect');
  };
  await withServer(
    broken,
    async port => {
      const session = connect(`http://127.0.0.1:${port}`);
      session.on('error', () => undefined);
      session.request({ ':path': '/' }).on('error', () => undefined);
      const [code] = (await once(session, 'goaway')) as [number];
      assert.equal(code, ERROR.INTERNAL_ERROR);
      session.destroy();
    },
    error => told.push(String(error)),
  );
  assert.deepEqual(told, ['TypeError: a defect']);
});

test('a peer that breaks the rules and does not hang up is hung up on', async () => {
  await withServer(echo, async (port, sockets) => {
    const peer = connectSocket({ port, host: '127.0.0.1', allowHalfOpen: true });
    peer.write('nothing that begins a connection');
    await once(peer, 'data');
    const [socket] = sockets;
    assert.ok(socket !== undefined);
    if (!socket.closed) await once(socket, 'close');
    peer.destroy();
  });
});
