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
import { netconfMessage } from './route/netconf.ts';
import { nexthopMessage } from './route/nexthop.ts';
import { decodeEncap, routeMessage } from './route/route.ts';
import { ruleMessage } from './route/rule.ts';
import type { NetlinkTransport } from './transport.ts';

/** By what follows `RTM_NEW`, `RTM_DEL` and `RTM_GET`; links and routes need a second look. */
const CODECS: Readonly<
  Record<string, { decode(payload: Uint8Array): { header: object; attributes: object } }>
> = {
  ADDR: addressMessage,
  NEIGH: neighborMessage,
  RULE: ruleMessage,
  NEXTHOP: nexthopMessage,
  NETCONF: netconfMessage,
};

/** A transport that prints what passes through it, `>` to the kernel and `<` from it. */
export function traced(transport: NetlinkTransport, print: (line: string) => void): NetlinkTransport {
  const show = (direction: string, datagram: Uint8Array) => {
    for (const message of readMessages(datagram)) print(`netlink ${direction} ${formatMessage(message)}`);
  };
  return {
    get port() {
      return transport.port;
    },
    ignore: port => transport.ignore(port),
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
  const { type, flags, sequence } = message;
  return `#${sequence} ${messageName(type)} flags=0x${flags.toString(16)} ${formatPayload(message)}`;
}

/** The payload as text; hex and the reason when it does not decode. */
export function formatPayload(message: Message): string {
  const { type, payload } = message;
  try {
    if (type === NLMSG_ERROR || type === NLMSG_DONE) return format(decodeAcknowledgement(message));
    const decoded = decodePayload(message);
    return decoded === undefined
      ? formatHex(payload, ' ')
      : `${format(decoded.header)} ${format(decoded.attributes)}`;
  } catch (error) {
    return `${formatHex(payload, ' ')} (${messageOf(error)})`;
  }
}

/** Struct and attributes of a message, also those whose meaning depends on others; undefined for an unknown type. */
export function decodePayload({
  type,
  payload,
}: Message): { header: object; attributes: object } | undefined {
  const name = messageName(type).replace(/^RTM_(NEW|DEL|GET)/, '');
  if (name === 'LINK') {
    const { header, attributes } = linkMessage.decode(payload);
    const info = decodeLinkInfo(attributes.info?.kind, attributes.info?.data);
    return { header, attributes: info === undefined ? attributes : { ...attributes, info } };
  }
  if (name === 'ROUTE') {
    const { header, attributes } = routeMessage.decode(payload);
    const encap = decodeEncap(attributes.encapType, attributes.encap);
    return { header, attributes: encap === undefined ? attributes : { ...attributes, encap } };
  }
  return CODECS[name]?.decode(payload);
}

/** One line of `name=value`. */
function format(value: unknown): string {
  if (value instanceof Uint8Array) return formatHex(value, ' ');
  if (Array.isArray(value)) return `[${value.map(format).join(', ')}]`;
  if (typeof value !== 'object' || value === null || value.toString !== Object.prototype.toString)
    return String(value);
  const parts = Object.entries(value).filter(([name, part]) => name !== 'unknown' || part.length > 0);
  return `{${parts.map(([name, part]) => `${name}=${format(part)}`).join(' ')}}`;
}
