/**
 * Netlink datagrams: whatever arrives, a decoder answers with a value or a CodecError. The value shares no memory with
 * the datagram, and holds every attribute that the tables have no name for.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatHex, Writer } from '../../src/base/bytes.ts';
import { isCode } from '../../src/base/errors.ts';
import { Ip } from '../../src/base/ip.ts';
import { readForward } from '../../src/firewall/ports/port-elements.ts';
import { decodeAcknowledgement } from '../../src/netlink/acknowledgement.ts';
import { NLM_F_ACK_TLVS, NLMSG_ERROR } from '../../src/netlink/constants.ts';
import { formatMessage } from '../../src/netlink/debug.ts';
import { type Message, readMessages, writeMessage } from '../../src/netlink/message.ts';
import { conntrackMessage, decodeConnection } from '../../src/netlink/netfilter/conntrack.ts';
import { NFPROTO_IPV4 } from '../../src/netlink/netfilter/constants.ts';
import { decodeLoggedPacket, loggedPacketMessage } from '../../src/netlink/netfilter/packet-log.ts';
import { NETFILTER_PROTOCOL } from '../../src/netlink/netfilter/protocol.ts';
import { decodeElements, nftElementsMessage } from '../../src/netlink/netfilter/set.ts';
import { decodeTraceEvent } from '../../src/netlink/netfilter/trace-event.ts';
import type { NetlinkProtocol } from '../../src/netlink/protocol.ts';
import { ROUTE_PROTOCOL } from '../../src/netlink/route/protocol.ts';
import type { KernelEvent } from '../../src/netlink/route/rtnetlink.ts';
import { decodeKernelEvent } from '../../src/netlink/route/watch.ts';
import {
  addressLine,
  fdbLine,
  neighborLine,
  nexthopLine,
  routeLine,
  ruleLine,
} from '../../src/netlink/text/entries.ts';
import { linkLine, linkNames } from '../../src/netlink/text/link.ts';
import { encodeAcknowledgement } from '../../src/testing/netlink/fake-messages.ts';
import { FakeRefusal } from '../../src/testing/netlink/fake-refusal.ts';
import { parseVector, protocolOf, structSize } from '../support/netlink-vector.ts';
import type { FuzzTarget } from './fuzz.ts';

const VECTORS = join(import.meta.dirname, '../vectors/netlink');

const vectors = readdirSync(VECTORS).map(file => parseVector(readFileSync(join(VECTORS, file), 'utf8')));

const captured = vectors.flatMap(vector =>
  vector.messages.map(({ message }) => ({ message, protocol: protocolOf(vector) })),
);
const messages = captured.map(({ message }) => message);

const datagramOf = (...parts: readonly Message[]) => {
  const writer = new Writer();
  for (const part of parts) writeMessage(writer, part);
  return writer.finish();
};

const datagrams = messages.map((message, index) =>
  datagramOf(message, ...messages.slice(index, index + (index % 3))),
);

/** Attribute type that no table names, as large as they get. */
const NAMELESS = 0x3ffe;

/** Every byte of a value as text, to see whether it changes. */
const contents = (value: unknown) =>
  JSON.stringify(value, (_, part: unknown) => {
    if (part instanceof Uint8Array) return formatHex(part);
    return typeof part === 'bigint' ? `${part}` : part;
  });

/** False when decoding says CodecError; the decoded value must not change when the input does. */
function decodes(input: Uint8Array, decode: (input: Uint8Array) => unknown): boolean {
  const copy = input.slice();
  try {
    const value = decode(copy);
    const before = contents(value);
    copy.fill(0xa5);
    assert.equal(contents(value), before, 'the decoded value changed with the buffer it came from');
    return true;
  } catch (error) {
    if (isCode(error, 'MALFORMED')) return false;
    throw error;
  }
}

/** A payload with one more attribute, the first, which must be found again. */
function withNameless(protocol: NetlinkProtocol, { payload, ...rest }: Message): Message {
  const size = structSize(protocol, rest.type);
  const struct = payload.subarray(0, size);
  const writer = new Writer().bytes(struct).zeros(size - struct.length);
  writer
    .u16(7)
    .u16(NAMELESS)
    .bytes(Uint8Array.of(1, 2, 3))
    .u8(0)
    .bytes(payload.subarray(size));
  return { ...rest, payload: writer.finish() };
}

function lineOf(event: KernelEvent | undefined): string {
  if (event === undefined) return '';
  const nameOf = linkNames([]);
  switch (event.type) {
    case 'link':
      return linkLine(event.link, nameOf);
    case 'address':
      return addressLine(event.address, nameOf);
    case 'route':
      return routeLine(event.route, nameOf);
    case 'nexthop':
      return nexthopLine(event.nexthop, nameOf);
    case 'neighbor':
      return neighborLine(event.neighbor, nameOf);
    case 'fdb':
      return fdbLine(event.entry, nameOf);
    case 'rule':
      return ruleLine(event.rule);
    case 'port':
    case 'netconf':
    case 'traffic':
    case 'overrun':
    case 'idle':
      return '';
  }
}

const header = { family: NFPROTO_IPV4, version: 0, resource: 0 };
const tuple = {
  ip: { ipv4Source: Ip.parse('192.0.2.2'), ipv4Destination: Ip.parse('192.0.2.1') },
  protocol: { number: 17, sourcePort: 5555, destinationPort: 8080 },
};

export const netlinkTargets: readonly FuzzTarget[] = [
  {
    name: 'tracked connections',
    seeds: [conntrackMessage.encode(header, { original: tuple, reply: tuple, id: 7 })],
    accepts: input => decodes(input, decodeConnection),
  },
  {
    name: 'elements of sets',
    seeds: [
      nftElementsMessage.encode(header, {
        table: 'tulle-ports',
        set: 'ip-any',
        list: {
          elements: [
            {
              key: { value: Uint8Array.of(6, 0, 0, 0, 31, 144, 0, 0) },
              data: { value: Uint8Array.of(10, 88, 0, 2, 0, 80, 0, 0) },
              userdata: Uint8Array.of(0, 4, 119, 101, 98, 0),
            },
          ],
        },
      }),
    ],
    accepts: input =>
      decodes(input, bytes => decodeElements(bytes).map(element => readForward('ip-any', element))),
  },
  {
    name: 'netlink announcements',
    seeds: datagrams,
    accepts: input => decodes(input, bytes => readMessages(bytes).map(decodeKernelEvent)),
  },
  {
    name: 'netlink messages',
    seeds: messages.map(message => message.payload),
    accepts(input) {
      const { protocol, message: seed } = captured[
        input.length % captured.length
      ] as (typeof captured)[number];
      const message = withNameless(protocol, { ...seed, payload: input });
      return decodes(message.payload, payload => {
        const decoded = protocol.decode({ ...message, payload })?.attributes;
        assert.ok(decoded !== undefined && 'unknown' in decoded && Array.isArray(decoded.unknown));
        const first = decoded.unknown[0] as { type: number; payload: Uint8Array };
        assert.deepEqual([first.type, formatHex(first.payload)], [NAMELESS, '010203']);
        return decoded;
      });
    },
  },
  {
    name: 'kernel objects in the words of ip and bridge',
    seeds: datagrams,
    accepts: input => decodes(input, bytes => readMessages(bytes).map(decodeKernelEvent).map(lineOf)),
  },
  {
    name: 'traces of nftables',
    seeds: captured
      .filter(({ protocol }) => protocol === NETFILTER_PROTOCOL)
      .map(({ message }) => message.payload),
    accepts: input => decodes(input, decodeTraceEvent),
  },
  {
    name: 'logged packets',
    seeds: [
      loggedPacketMessage.encode(
        { family: 2, version: 0, resource: 0 },
        { mark: 7, input: 3, payload: new Uint8Array(40), prefix: 'TRACE: filter:FORWARD:rule:2 ' },
      ),
    ],
    accepts: input => decodes(input, decodeLoggedPacket),
  },
  {
    name: 'netlink acknowledgements',
    seeds: messages.flatMap(message => [
      encodeAcknowledgement(message).payload,
      encodeAcknowledgement(message, new FakeRefusal('EINVAL', 'Nexthop has invalid gateway')).payload,
    ]),
    accepts: input =>
      decodes(input, payload =>
        decodeAcknowledgement({
          type: NLMSG_ERROR,
          flags: input.length & 1 ? NLM_F_ACK_TLVS : 0x300,
          sequence: 1,
          port: 0,
          payload,
        }),
      ),
  },
  {
    name: 'netlink as TULLE_DEBUG prints it',
    seeds: datagrams,
    accepts: input =>
      decodes(input, bytes => readMessages(bytes).map(message => formatMessage(ROUTE_PROTOCOL, message))),
  },
];
