/**
 * Announcements of the kernel, of whichever protocol. The socket is read only when the consumer asks for more, so a slow
 * consumer fills the kernel's bounded buffer, not our memory; what is lost then is reported as an `overrun` event.
 */
import { setImmediate } from 'node:timers/promises';
import { isCode } from '../base/errors.ts';
import { type Message, readMessages } from './message.ts';
import { type NetlinkTransport, RECEIVE_SIZE } from './transport.ts';

/** What a listener has to say of itself, between the announcements. */
export type ListenerEvent =
  /** The socket's buffer overflowed (ENOBUFS): events were lost, only a full comparison helps. */
  | { readonly type: 'overrun' }
  /** Everything announced so far has been delivered. Comes after events, and before the next wait. */
  | { readonly type: 'idle' };

/** Datagrams, of one event each, read in one go before other work gets its turn. */
const DATAGRAMS_PER_TURN = 64;

/**
 * The events of a transport that has joined its groups already, and is closed at the end.
 *
 * @param decode undefined for a message that is no event.
 */
export function announcements<T>(
  transport: NetlinkTransport,
  signal: AbortSignal,
  decode: (message: Message) => T | undefined,
): AsyncIterable<T | ListenerEvent> {
  const closeUnused = () => transport[Symbol.dispose]();
  signal.addEventListener('abort', closeUnused, { once: true });
  return generate();

  async function* generate(): AsyncGenerator<T | ListenerEvent, void> {
    signal.removeEventListener('abort', closeUnused);
    using socket = transport;
    const buffer = new Uint8Array(RECEIVE_SIZE);
    for (let received = 1; !signal.aborted; received++) {
      if (received % DATAGRAMS_PER_TURN === 0) await setImmediate();
      let length: number | undefined;
      try {
        length = socket.receive(buffer);
      } catch (error) {
        if (!isCode(error, 'ENOBUFS')) throw error;
        yield { type: 'overrun' };
        continue;
      }
      if (length === undefined) {
        yield { type: 'idle' };
        await untilReadable(socket, signal);
        continue;
      }
      for (const message of readMessages(buffer.subarray(0, length))) {
        const event = decode(message);
        if (event !== undefined && !signal.aborted) yield event;
      }
    }
  }
}

async function untilReadable(socket: NetlinkTransport, signal: AbortSignal): Promise<void> {
  try {
    await socket.readable(signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
