/** `TULLE_DEBUG=netlink`: every message of a transport, decoded by the same tables, one line each. */
import { formatHex } from '../base/bytes.ts';
import { messageOf } from '../base/errors.ts';
import { decodeAcknowledgement } from './acknowledgement.ts';
import { NLMSG_DONE, NLMSG_ERROR } from './constants.ts';
import { type Message, messageName, readMessages } from './message.ts';
import { addressMessage } from './route/address.ts';
import { decodeLinkInfo } from './route/link-info.ts';
import { linkMessage } from './route/link-message.ts';
import { neighborMessage } from './route/neighbor.ts';
import { nexthopMessage } from './route/nexthop.ts';
import { routeMessage } from './route/route.ts';
import { ruleMessage } from './route/rule.ts';
import type { NetlinkTransport } from './transport.ts';

/** By what follows `RTM_NEW`, `RTM_DEL` and `RTM_GET`. */
const CODECS: Readonly<
  Record<string, { decode(payload: Uint8Array): { header: object; attributes: object } }>
> = {
  LINK: linkMessage,
  ADDR: addressMessage,
  ROUTE: routeMessage,
  NEIGH: neighborMessage,
  RULE: ruleMessage,
  NEXTHOP: nexthopMessage,
};

/** A transport that prints what passes through it, `>` to the kernel and `<` from it. */
export function traced(transport: NetlinkTransport, print: (line: string) => void): NetlinkTransport {
  const show = (direction: string, datagram: Uint8Array) => {
    for (const message of readMessages(datagram)) print(`netlink ${direction} ${formatMessage(message)}`);
  };
  return {
    send(datagram) {
      show('>', datagram);
      transport.send(datagram);
    },
    receive(buffer) {
      const length = transport.receive(buffer);
      if (length !== undefined) show('<', buffer.subarray(0, length));
      return length;
    },
    readable: signal => transport.readable(signal),
    [Symbol.dispose]: () => transport[Symbol.dispose](),
  };
}

/** `#7 RTM_NEWNEIGH flags=0x505 {family=2 index=4 ...} {destination=10.3.2.0 mac=...}`; never throws. */
export function formatMessage(message: Message): string {
  const { type, flags, sequence, payload } = message;
  return `#${sequence} ${messageName(type)} flags=0x${flags.toString(16)} ${formatPayload(message, payload)}`;
}

function formatPayload(message: Message, payload: Uint8Array): string {
  try {
    if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE)
      return format(decodeAcknowledgement(message));
    const codec = CODECS[messageName(message.type).replace(/^RTM_(NEW|DEL|GET)/, '')];
    if (codec === undefined) return formatHex(payload, ' ');
    const { header, attributes } = codec.decode(payload);
    return `${format(header)} ${format(attributes)}`;
  } catch (error) {
    return `${formatHex(payload, ' ')} (${messageOf(error)})`;
  }
}

/** One line of `name=value`. */
function format(value: unknown): string {
  if (value instanceof Uint8Array) return formatHex(value, ' ');
  if (Array.isArray(value)) return `[${value.map(format).join(', ')}]`;
  if (typeof value !== 'object' || value === null || value.toString !== Object.prototype.toString)
    return String(value);
  if ('kind' in value && 'data' in value)
    return format(decodeLinkInfo(value.kind as string, value.data as Uint8Array));
  const parts = Object.entries(value).filter(([name, part]) => name !== 'unknown' || part.length > 0);
  return `{${parts.map(([name, part]) => `${name}=${format(part)}`).join(' ')}}`;
}
