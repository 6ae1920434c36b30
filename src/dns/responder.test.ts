import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { queryBytes, readAnswer } from '../../test/support/dns.ts';
import { namesInMemory } from '../../test/support/names.ts';
import { systemClock } from '../base/clock.ts';
import { Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import { freePorts } from '../sys/free-ports.ts';
import { RCODE } from './constants.ts';
import { DnsListener, type DnsListenerOptions } from './dns-listener.ts';
import { type NameServer, parseResolvConf, ResolvConf } from './resolv-conf.ts';
import { Responder } from './responder.ts';
import { MessageFrames } from './tcp-frames.ts';
import { Upstream } from './upstream.ts';

/** Milliseconds that a server has that answers, and a connection that speaks: more than any load takes. */
const PATIENCE = 60_000;

const many = Array.from({ length: 200 }, (_, at) => `blue 10.9.1.${at} all`);

function responderOf(servers: readonly NameServer[] = [], timeout = PATIENCE): Responder {
  return new Responder({
    names: namesInMemory('blue 10.9.1.2 web', ...many),
    networks: () => [{ name: 'blue', networks: { ipv4: Prefix.parse('10.9.0.0/16') } }],
    networksOf: () => [],
    upstream: new Upstream({ servers: () => servers, timeout }),
  });
}

async function ask(responder: Responder, query: Uint8Array, transport: 'udp' | 'tcp' = 'udp') {
  const answer = await responder.answer(query, '10.9.1.9', transport);
  return answer && { ...readAnswer(answer), bytes: answer };
}

/** A server on loopback that answers each query with what `make` makes of it. */
async function fakeServer(
  t: TestContext,
  make: (query: Buffer) => Uint8Array | undefined,
): Promise<NameServer> {
  const [port = 0] = await freePorts(1);
  const udp = createSocket('udp4');
  await new Promise<void>(resolve => udp.bind(port, '127.0.0.1', resolve));
  udp.on('message', (query, { address, port: to }) => {
    const answer = make(query);
    if (answer !== undefined) udp.send(answer, to, address);
  });
  const tcp = createServer(socket => {
    const frames = new MessageFrames();
    socket.on('error', () => undefined);
    socket.on('data', chunk => {
      for (const message of frames.push(chunk)) {
        const answer = make(Buffer.from(message));
        if (answer !== undefined) socket.write(MessageFrames.frame(answer));
      }
    });
  });
  await new Promise<void>(resolve => tcp.listen(port, '127.0.0.1', resolve));
  t.after(() => {
    udp.close();
    tcp.close();
  });
  return { address: '127.0.0.1', port };
}

/** The query as an answer with this rcode, and so many bytes behind it. */
function answerTo(query: Buffer, rcode = 0, padding = 0): Uint8Array {
  const answer = Buffer.concat([query, Buffer.alloc(padding)]);
  answer[2] = (answer[2] ?? 0) | 0x80;
  answer[3] = rcode;
  return answer;
}

test('what is known is answered in the form in which it was asked', async () => {
  const responder = responderOf();
  const answer = await ask(responder, queryBytes('WeB', 'A', { id: 4711, flags: 0x0110, size: 4096 }));
  assert.deepEqual(answer?.answers, ['WeB A 10.9.1.2']);
  assert.equal(answer.id, 4711);
  assert.equal(answer.flags, 0x8000 | 0x0400 | 0x0100 | 0x0080 | 0x0010);
  assert.equal(answer.options, 0);
  const negative = await ask(responder, queryBytes('nope.blue.tulle', 'A'));
  assert.deepEqual(
    [negative?.rcode, negative?.authorities, negative?.options],
    [3, ['tulle SOA ns.tulle'], undefined],
  );
  const noData = await ask(responder, queryBytes('web', 'AAAA'));
  assert.deepEqual([noData?.rcode, noData?.answers, noData?.authorities], [0, [], ['web SOA ns.tulle']]);
});

test('an answer is no longer than the asker takes and no path fragments', async () => {
  const responder = responderOf();
  for (const [size, most] of [
    [undefined, 512],
    [100, 512],
    [700, 700],
    [4096, 1232],
  ] as const) {
    const answer = await ask(responder, queryBytes('all', 'A', size === undefined ? {} : { size }));
    assert.ok(answer?.isCut);
    assert.ok(
      answer.bytes.byteLength <= most && answer.bytes.byteLength > most - 16,
      `${answer.bytes.byteLength}`,
    );
  }
  const whole = await ask(responder, queryBytes('all', 'A'), 'tcp');
  assert.deepEqual([whole?.isCut, whole?.answers.length], [false, 200]);
});

test('what is no query gets no answer, and what is wrong a short one', async () => {
  const responder = responderOf();
  assert.equal(await ask(responder, new Uint8Array(11)), undefined);
  assert.equal(await ask(responder, queryBytes('web', 'A', { flags: 0x8100 })), undefined);
  for (const [query, rcode] of [
    [queryBytes('web', 'A', { flags: 0x2800 }), RCODE.NOTIMP],
    [queryBytes('web').with(5, 2), RCODE.FORMERR],
    [queryBytes('web').with(5, 0), RCODE.FORMERR],
    [queryBytes('web').with(12, 0xc0), RCODE.FORMERR],
    [queryBytes('web').subarray(0, 18), RCODE.FORMERR],
    [queryBytes('web', 'A', { size: 1232 }).with(21, 1), RCODE.FORMERR],
  ] as const) {
    const answer = await ask(responder, query);
    assert.equal(answer?.rcode, rcode);
    assert.equal(answer.bytes.byteLength, 12);
  }
  const later = await ask(responder, queryBytes('web', 'A', { size: 1232, version: 1 }));
  assert.deepEqual([later?.rcode, later?.options, later?.answers], [0, 1, []]);
  assert.ok(responder.counts.malformed >= 8);
});

test('all else is asked of the servers, one after the other, and comes back with the id of the asker', async t => {
  const seen: number[] = [];
  const broken = await fakeServer(t, query => answerTo(query, RCODE.SERVFAIL));
  // Its time is over as soon as it has been asked; that of the others never.
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const silent = await fakeServer(t, () => {
    t.mock.timers.tick(PATIENCE);
    return undefined;
  });
  const good = await fakeServer(t, query => {
    seen.push(query.readUInt16BE(0));
    return answerTo(query, RCODE.NXDOMAIN);
  });
  const responder = responderOf([broken, silent, good]);
  const query = queryBytes('example.com', 'A', { id: 99, size: 4096 });
  const first = await ask(responder, query);
  assert.deepEqual([first?.id, first?.rcode], [99, RCODE.NXDOMAIN]);
  // The one that answered is asked first from now on.
  const ids = await Promise.all(Array.from({ length: 20 }, () => ask(responder, query)));
  assert.ok(ids.every(answer => answer?.id === 99));
  assert.ok(new Set(seen).size > 15, 'ids are random');
  const overTcp = await ask(responder, query, 'tcp');
  assert.deepEqual([overTcp?.id, overTcp?.rcode], [99, RCODE.NXDOMAIN]);
  assert.equal(responder.counts.forwarded, 22);
});

test('a failure is told when no server is better, and when there is none', async t => {
  const refusing = await fakeServer(t, query => answerTo(query, RCODE.REFUSED));
  assert.equal((await ask(responderOf([refusing]), queryBytes('example.com')))?.rcode, RCODE.REFUSED);
  assert.equal((await ask(responderOf([]), queryBytes('example.com')))?.rcode, RCODE.SERVFAIL);
  const gone = { address: '127.0.0.1', port: 1 };
  assert.equal((await ask(responderOf([gone]), queryBytes('example.com')))?.rcode, RCODE.SERVFAIL);
  assert.equal((await ask(responderOf([gone]), queryBytes('example.com'), 'tcp'))?.rcode, RCODE.SERVFAIL);
});

test('a server that cannot be asked at all is passed over', async t => {
  const good = await fakeServer(t, query => answerTo(query));
  // connect(2) refuses it on every host: EACCES for a broadcast address, ENETUNREACH where there are no routes.
  const unreachable = { address: '255.255.255.255', port: 53 };
  assert.equal((await ask(responderOf([unreachable, good]), queryBytes('example.org', 'A')))?.rcode, 0);
  const nobody = await ask(responderOf([unreachable]), queryBytes('example.org', 'A'));
  assert.equal(nobody?.rcode, RCODE.SERVFAIL);
});

test('an answer to another question, or with another id, does not count', async t => {
  const liar = await fakeServer(t, query =>
    query.toString('latin1').includes('wrongid')
      ? answerTo(Buffer.from(query.with(1, (query[1] ?? 0) ^ 1)))
      : answerTo(Buffer.from(query.with(13, 0x78))),
  );
  for (const name of ['wrongid.com', 'example.com']) {
    assert.equal((await ask(responderOf([liar], 50), queryBytes(name)))?.rcode, RCODE.SERVFAIL, name);
  }
  const shouting = await fakeServer(t, query =>
    answerTo(Buffer.from(query.map((byte, at) => (at > 12 && byte > 0x60 ? byte - 0x20 : byte)))),
  );
  assert.equal((await ask(responderOf([shouting]), queryBytes('aaaa', 'A', { id: 1 })))?.rcode, 0);
});

test('an answer that is too long for the asker is marked, and asked for without it over TCP', async t => {
  const long = await fakeServer(t, query => answerTo(query, 0, 1100));
  const responder = responderOf([long]);
  const cut = await ask(responder, queryBytes('example.com'));
  assert.ok(cut?.isCut && cut.bytes.byteLength < 64);
  const whole = await ask(responder, queryBytes('example.com', 'A', { size: 4096 }));
  assert.ok(whole && !whole.isCut && whole.bytes.byteLength > 1100);
});

test('no asker keeps the others from asking', async t => {
  const silent = await fakeServer(t, () => undefined);
  const responder = responderOf([silent], 300);
  const waiting = Array.from({ length: 100 }, () => ask(responder, queryBytes('example.com')));
  const [refused] = await Promise.all(waiting.slice(64));
  assert.equal(refused?.rcode, RCODE.SERVFAIL);
  assert.equal(responder.counts.failed, 36);
  await Promise.all(waiting);
});

async function listen(
  t: TestContext,
  responder: Pick<Responder, 'answer'>,
  { isAsker = () => true, idle = PATIENCE }: Partial<Pick<DnsListenerOptions, 'isAsker' | 'idle'>> = {},
): Promise<number> {
  const [port = 0] = await freePorts(1);
  const ip = Ip.parse('127.0.0.1');
  const listener = await DnsListener.open({ link: 'lo', ip, port, isAsker, responder, idle });
  t.after(() => listener[Symbol.dispose]());
  return port;
}

test('over TCP queries are answered as their answers are ready', async t => {
  const silent = await fakeServer(t, () => undefined);
  const port = await listen(t, responderOf([silent], 100));
  const socket = connect(port, '127.0.0.1');
  const frames = new MessageFrames();
  const ids: number[] = [];
  const answered = new Promise<void>(resolve =>
    socket.on('data', chunk => {
      ids.push(...frames.push(chunk).map(bytes => readAnswer(bytes).id));
      if (ids.length >= 3) resolve();
    }),
  );
  t.after(() => socket.destroy());
  const queries = [
    queryBytes('example.com', 'A', { id: 1 }),
    queryBytes('web.blue.tulle', 'A', { id: 2 }),
    queryBytes('web.blue.tulle', 'A', { id: 3 }),
  ];
  const bytes = Buffer.concat(queries.map(query => MessageFrames.frame(query)));
  socket.write(bytes.subarray(0, 5));
  await new Promise(resolve => setImmediate(resolve));
  socket.write(bytes.subarray(5));
  await answered;
  assert.deepEqual(ids, [2, 3, 1]);
});

test('a connection that says nothing ends', async t => {
  const port = await listen(t, responderOf(), { idle: 100 });
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  const closed = new Promise<void>(resolve => socket.on('close', () => resolve()));
  socket.resume();
  await closed;
});

test('a stranger gets no answer, and one who says nonsense is not listened to any more', async t => {
  const port = await listen(t, responderOf(), { isAsker: () => false });
  const socket = createSocket('udp4');
  t.after(() => socket.close());
  let answers = 0;
  socket.on('message', () => answers++);
  const tcp = connect(port, '127.0.0.1');
  tcp.on('error', () => undefined);
  const closed = new Promise<void>(resolve => tcp.on('close', () => resolve()));
  for (let count = 0; count < 10; count++) socket.send(queryBytes('web'), port, '127.0.0.1');
  await closed;
  assert.equal(answers, 0);
  const open = await listen(t, responderOf());
  const talker = connect(open, '127.0.0.1');
  talker.on('error', () => undefined);
  const ended = new Promise<void>(resolve => talker.on('close', () => resolve()));
  talker.write(Buffer.concat([Buffer.from([0, 3]), Buffer.from('xxx')]));
  await ended;
});

test('a query over TCP is no longer than 4 KiB: what announces more ends the conversation', async t => {
  const port = await listen(t, responderOf());
  const talker = connect(port, '127.0.0.1');
  talker.on('error', () => undefined);
  const ids: number[] = [];
  const frames = new MessageFrames();
  talker.on('data', chunk => ids.push(...frames.push(chunk).map(bytes => readAnswer(bytes).id)));
  const ended = new Promise<void>(resolve => talker.on('close', () => resolve()));
  const longest = Buffer.concat([queryBytes('web.blue.tulle', 'A', { id: 7 }), Buffer.alloc(4096)]);
  talker.write(MessageFrames.frame(longest.subarray(0, 4096)));
  await new Promise<void>(resolve => talker.once('data', () => resolve()));
  talker.write(Buffer.from([0x10, 0x01]));
  await ended;
  assert.deepEqual(ids, [7]);
});

test('an answer that fails is silence, and the next query is answered', async t => {
  const responder = responderOf();
  const port = await listen(t, {
    answer: (bytes, asker, transport) =>
      bytes[1] === 1 ? Promise.reject(new Error('no')) : responder.answer(bytes, asker, transport),
  });
  const socket = createSocket('udp4');
  t.after(() => socket.close());
  const answered = new Promise<number>(resolve =>
    socket.on('message', bytes => resolve(readAnswer(bytes).id)),
  );
  for (const id of [1, 2]) socket.send(queryBytes('web.blue.tulle', 'A', { id }), port, '127.0.0.1');
  assert.equal(await answered, 2);
});

test('a hundred malformed queries do not disturb the next good one', async t => {
  const port = await listen(t, responderOf());
  const socket = createSocket('udp4');
  t.after(() => socket.close());
  const good = queryBytes('web.blue.tulle', 'A', { id: 0xabcd });
  const answered = new Promise<void>(resolve =>
    socket.on('message', bytes => readAnswer(bytes).answers.length === 1 && resolve()),
  );
  for (let at = 0; at < 100; at++)
    socket.send(good.slice(0, at % good.byteLength).fill(at, at % 13), port, '127.0.0.1');
  socket.send(good, port, '127.0.0.1');
  await answered;
});

test('resolv.conf is read as it is now', async () => {
  assert.deepEqual(
    parseResolvConf('# x\nnameserver 10.0.0.1\n nameserver\tfe80::1%eth0 x\nnameserver y\nsearch a\n'),
    [
      { address: '10.0.0.1', port: 53 },
      { address: 'fe80::1%eth0', port: 53 },
    ],
  );
  assert.equal(parseResolvConf('nameserver 10.0.0.1\n'.repeat(9)).length, 3);
  assert.deepEqual(new ResolvConf(systemClock, '/nonexistent/resolv.conf').servers, []);
});
