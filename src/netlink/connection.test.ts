/** The connection over a transport whose answers the test writes itself: what no kernel, real or fake, does on demand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Writer } from '../base/bytes.ts';
import { SysError } from '../sys/errors.ts';
import { encodeAcknowledgement } from '../testing/netlink/fake-messages.ts';
import { FakeRefusal } from '../testing/netlink/fake-refusal.ts';
import { NetlinkConnection } from './connection.ts';
import { NLM_F_ACK, NLMSG_DONE, NLMSG_ERROR } from './constants.ts';
import { type Message, readMessages, writeMessage } from './message.ts';
import type { Change } from './protocol.ts';
import { ROUTE_PROTOCOL } from './route/protocol.ts';

const someChange = (size: number, what = 'x'): Change => ({
  what,
  type: 24,
  flags: 0,
  write: writer => void writer.zeros(size),
});

const QUERY = { what: 'list things', type: 26, payload: new Uint8Array(12) };
const thing = (sequence: number, value: number): Message => ({
  type: 24,
  flags: 2,
  sequence,
  port: 0,
  payload: Uint8Array.of(value),
});
const done = (sequence: number, flags = 2): Message => ({
  type: NLMSG_DONE,
  flags,
  sequence,
  port: 0,
  payload: new Uint8Array(4),
});
/** Reads a list; the first byte of each answer. */
async function dump(connection: NetlinkConnection): Promise<number[]> {
  let values: number[] = [];
  await connection.dump([QUERY], {
    begin() {
      values = [];
    },
    each(message) {
      values.push(message.payload[0] ?? 0);
    },
  });
  return values;
}

/** A transport that answers each datagram with datagrams, some of which come only when a request waits. */
function scripted(answer: (requests: Message[]) => { now?: Message[][]; later?: Message[][] }) {
  const sent: Message[][] = [];
  const queue: (Uint8Array | Error)[] = [];
  let later: Uint8Array[] = [];
  const encode = (messages: Message[]) => {
    const writer = new Writer();
    for (const message of messages) writeMessage(writer, message);
    return writer.finish();
  };
  const connection = new NetlinkConnection(
    {
      port: 1,
      ignore: () => undefined,
      send(datagram) {
        const requests = readMessages(datagram.slice());
        sent.push(requests);
        const script = answer(requests);
        queue.push(...(script.now ?? []).map(encode));
        later = (script.later ?? []).map(encode);
      },
      receive(buffer) {
        const next = queue.shift();
        if (next === undefined) return undefined;
        if (next instanceof Error) throw next;
        buffer.set(next);
        return next.length;
      },
      async readable(signal) {
        signal.throwIfAborted();
        if (later.length === 0)
          await new Promise((_, reject) =>
            signal.addEventListener('abort', () => reject(signal.reason as Error)),
          );
        queue.push(...later.splice(0));
      },
      [Symbol.dispose]: () => undefined,
    },
    ROUTE_PROTOCOL,
  );
  return { connection, sent, queue };
}

test('answers that come late are waited for', async () => {
  const { connection } = scripted(([request]) => {
    const { sequence } = request as Message;
    return { now: [[thing(sequence, 1)]], later: [[thing(sequence, 2)], [done(sequence)]] };
  });
  assert.deepEqual(await dump(connection), [1, 2]);
});

test('answers to another process are ignored', async () => {
  const { connection } = scripted(([request]) => {
    const { sequence } = request as Message;
    return {
      now: [
        [done(sequence + 7), thing(sequence - 1, 9)],
        [thing(sequence, 1), done(sequence)],
      ],
    };
  });
  assert.deepEqual(await dump(connection), [1]);
});

test('of a batch only the last change asks for an answer, and refusals find their change in any order', async () => {
  const { connection, sent } = scripted(requests => {
    const [, second, third] = requests;
    return {
      now: [
        [encodeAcknowledgement(third as Message, new FakeRefusal('EEXIST'))],
        [encodeAcknowledgement(second as Message, new FakeRefusal('EBUSY', 'try later'))],
        [encodeAcknowledgement(requests.at(-1) as Message)],
      ],
    };
  });
  const changes = ['a', 'b', 'c', 'd'].map(what => someChange(12, what));
  const results = await connection.apply(changes);
  assert.deepEqual(
    results.map(error => error?.message),
    [
      undefined,
      'b: try later [resource busy or locked] (EBUSY)',
      'c: file already exists (EEXIST)',
      undefined,
    ],
  );
  assert.deepEqual(
    sent[0]?.map(({ flags }) => flags & NLM_F_ACK),
    [0, 0, 0, NLM_F_ACK],
  );
  assert.equal(connection.writes, 4);
});

test('a long list of changes goes out in several datagrams, none of which is too large', async () => {
  const { connection, sent } = scripted(requests => ({
    now: [[encodeAcknowledgement(requests.at(-1) as Message)]],
  }));
  await connection.apply(Array.from({ length: 700 }, () => someChange(1000)));
  assert.equal(sent.flat().length, 700);
  assert.ok(sent.every(datagram => datagram.length * 1016 <= 65536));
  assert.equal(new Set(sent.flat().map(({ sequence }) => sequence)).size, 700);
  await connection.apply(Array.from({ length: 600 }, () => someChange(12)));
  assert.deepEqual(
    sent.slice(-3).map(datagram => datagram.length),
    [256, 256, 88],
  );
});

test('a failing socket fails the request, and the next one starts afresh', async () => {
  const { connection, queue } = scripted(([request]) => ({
    now: [[thing((request as Message).sequence, 1)], [done((request as Message).sequence)]],
  }));
  queue.push(new SysError('recv', 105));
  await assert.rejects(dump(connection), { code: 'ENOBUFS', syscall: 'recv' });
  assert.deepEqual(await dump(connection), [1], 'what the failed one left behind is not taken for an answer');
});

test('a list ends with an error when the kernel says so at its end', async () => {
  const { connection } = scripted(([request]) => {
    const { sequence } = request as Message;
    const payload = new Writer().i32(-12).finish();
    return { now: [[thing(sequence, 1), { ...done(sequence), payload }]] };
  });
  await assert.rejects(dump(connection), { code: 'ENOMEM', message: /^list things: / });
});

test('closing ends a wait that nothing would end', async () => {
  const { connection } = scripted(() => ({}));
  const listing = dump(connection);
  await Promise.all([
    assert.rejects(listing, /the netlink connection is closed/),
    connection[Symbol.asyncDispose](),
  ]);
});

test('an answer of an old kernel ends with no status, and a refusal may bring the whole request back', async () => {
  const { connection } = scripted(([request]) => {
    const { sequence } = request as Message;
    return { now: [[{ ...done(sequence), payload: new Uint8Array() }]] };
  });
  assert.deepEqual(await dump(connection), []);

  const whole = scripted(([request]) => {
    const echoed = new Writer().i32(-17);
    writeMessage(echoed, request as Message);
    return {
      now: [
        [
          {
            type: NLMSG_ERROR,
            flags: 0,
            sequence: (request as Message).sequence,
            port: 0,
            payload: echoed.finish(),
          },
        ],
      ],
    };
  });
  const [error] = await whole.connection.apply([someChange(12)]);
  assert.equal(error?.code, 'EEXIST');
});
