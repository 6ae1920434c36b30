/** `TULLE_DEBUG=netlink`: every message of a transport on standard error, one line each, read by the protocol's tables. */
import process from 'node:process';
import { formatHex } from '../base/bytes.ts';
import { messageOf } from '../base/errors.ts';
import { printable } from '../base/printable.ts';
import { decodeAcknowledgement } from './acknowledgement.ts';
import { NLMSG_DONE, NLMSG_ERROR } from './constants.ts';
import { type Message, readMessages } from './message.ts';
import { messageName, type NetlinkProtocol } from './protocol.ts';
import type { NetlinkTransport, OpenTransport } from './transport.ts';

/** Transports that print what passes through them, if the environment asks for it. */
export function tracedIfAsked(open: OpenTransport, protocol: NetlinkProtocol): OpenTransport {
  if (process.env['TULLE_DEBUG']?.split(',').includes('netlink') !== true) return open;
  const print = (line: string) => process.stderr.write(`${printable(line)}\n`);
  return groups => traced(open(groups), protocol, print);
}

/** A transport that prints what passes through it, `>` to the kernel and `<` from it. */
export function traced(
  transport: NetlinkTransport,
  protocol: NetlinkProtocol,
  print: (line: string) => void,
): NetlinkTransport {
  const show = (direction: string, datagram: Uint8Array) => {
    for (const message of readMessages(datagram))
      print(`netlink ${direction} ${formatMessage(protocol, message)}`);
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
    async sendAside(datagram) {
      show('>', datagram);
      if (transport.sendAside === undefined) transport.send(datagram);
      else await transport.sendAside(datagram);
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
export function formatMessage(protocol: NetlinkProtocol, message: Message): string {
  const { type, flags, sequence } = message;
  const name = messageName(protocol, type);
  return `#${sequence} ${name} flags=0x${flags.toString(16)} ${formatPayload(protocol, message)}`;
}

/** The payload as text; hex and the reason when it does not decode. */
export function formatPayload(protocol: NetlinkProtocol, message: Message): string {
  const { type, payload } = message;
  try {
    if (type === NLMSG_ERROR || type === NLMSG_DONE) return format(decodeAcknowledgement(message));
    const decoded = protocol.decode(message);
    return decoded === undefined
      ? formatHex(payload, ' ')
      : `${format(decoded.header)} ${format(decoded.attributes)}`;
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
  const parts = Object.entries(value).filter(([name, part]) => name !== 'unknown' || part.length > 0);
  return `{${parts.map(([name, part]) => `${name}=${format(part)}`).join(' ')}}`;
}
