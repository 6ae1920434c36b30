/** A transaction over a transport whose answers the test writes itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Writer } from '../../base/bytes.ts';
import { encodeAcknowledgement } from '../../testing/netlink/fake-messages.ts';
import { FakeRefusal } from '../../testing/netlink/fake-refusal.ts';
import { NLM_F_ACK } from '../constants.ts';
import { type Message, readMessages, writeMessage } from '../message.ts';
import { messageName } from '../protocol.ts';
import type { NetlinkTransport } from '../transport.ts';
import { NETFILTER_PROTOCOL } from './protocol.ts';
import { deleteTable, newBaseChain, newRule, newTable } from './table.ts';
import { commit } from './transaction.ts';

const CHANGES = [
  newTable('t', true),
  newBaseChain({ table: 't', name: 'c', hook: 'input', priority: -5 }),
  newRule('t', 'c', [{ setTrace: true }]),
];

/** A kernel that answers each datagram with one. */
function kernel(answer: (requests: Message[]) => Message[]): {
  sent: Message[];
  transport: NetlinkTransport;
} {
  const sent: Message[] = [];
  const queue: Uint8Array[] = [];
  return {
    sent,
    transport: {
      port: 1,
      ignore: () => undefined,
      send(datagram) {
        sent.push(...readMessages(datagram.slice()));
        const writer = new Writer();
        for (const message of answer(sent)) writeMessage(writer, message);
        if (writer.length > 0) queue.push(writer.finish());
      },
      receive(buffer) {
        const next = queue.shift();
        if (next !== undefined) buffer.set(next);
        return next?.byteLength;
      },
      readable: () => Promise.reject(new Error('nothing will come')),
      [Symbol.dispose]: () => undefined,
    },
  };
}

test('is one datagram between two boundaries, and its last change asks for an answer', () => {
  const { sent, transport } = kernel(requests => {
    const asking = requests.filter(({ flags }) => (flags & NLM_F_ACK) !== 0);
    return asking.map(request => encodeAcknowledgement(request));
  });
  commit(transport, CHANGES);
  assert.deepEqual(
    sent.map(({ type, flags }) => [messageName(NETFILTER_PROTOCOL, type), (flags & NLM_F_ACK) !== 0]),
    [
      ['NFNL_MSG_BATCH_BEGIN', false],
      ['NFT_MSG_NEWTABLE', false],
      ['NFT_MSG_NEWCHAIN', false],
      ['NFT_MSG_NEWRULE', true],
      ['NFNL_MSG_BATCH_END', false],
    ],
  );
});

test('names the change that is refused, also when another one is answered as well', () => {
  const { transport } = kernel(requests => [
    encodeAcknowledgement(requests[2] as Message, new FakeRefusal('EOPNOTSUPP', 'No such hook')),
    encodeAcknowledgement(requests[3] as Message),
  ]);
  assert.throws(() => commit(transport, CHANGES), {
    name: 'NetlinkError',
    code: /^E?(OPNOTSUPP|NOTSUP)$/,
    message: /^add chain inet t c: No such hook/,
  });
});

test('without an answer is an error, never taken for a success', () => {
  const { transport } = kernel(() => []);
  assert.throws(() => commit(transport, [deleteTable('t')]), { code: 'MALFORMED' });
});
