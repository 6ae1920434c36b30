/** One open socket of the fake kernel: a queue of datagrams, and the groups it listens to. */
import { constants } from 'node:os';
import { Writer } from '../../base/bytes.ts';
import { type Message, writeMessage } from '../../netlink/message.ts';
import type { NetlinkTransport } from '../../netlink/transport.ts';
import { SysError } from '../../sys/errors.ts';

/** How many messages of a dump the fake puts into one datagram: few, so that short tables take several. */
const MESSAGES_PER_DATAGRAM = 3;

export class FakeSocket implements NetlinkTransport {
  readonly groups: ReadonlySet<number>;
  readonly port: number;
  readonly #handle: (socket: FakeSocket, datagram: Uint8Array) => void;
  readonly #close: (socket: FakeSocket) => void;
  #queue: Uint8Array[] = [];
  #ignored: number | undefined;
  #overrun = false;
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(
    port: number,
    groups: readonly number[],
    handle: (socket: FakeSocket, datagram: Uint8Array) => void,
    close: (socket: FakeSocket) => void,
  ) {
    this.port = port;
    this.groups = new Set(groups);
    this.#handle = handle;
    this.#close = close;
  }

  ignore(port: number): void {
    this.#ignored = port;
  }

  send(datagram: Uint8Array): void {
    this.#checkOpen('send');
    this.#handle(this, datagram);
  }

  receive(buffer: Uint8Array): number | undefined {
    this.#checkOpen('recv');
    if (this.#overrun) {
      this.#overrun = false;
      throw new SysError('recv', constants.errno.ENOBUFS);
    }
    const datagram = this.#queue.shift();
    if (datagram === undefined) return undefined;
    buffer.set(datagram);
    return datagram.byteLength;
  }

  readable(signal: AbortSignal): Promise<void> {
    if (this.#queue.length > 0 || this.#overrun) return Promise.resolve();
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const onAbort = () => reject(signal.reason as Error);
      signal.addEventListener('abort', onAbort, { once: true });
      this.#wake = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
    });
  }

  /** Queues messages for the reader. */
  deliver(delivered: readonly Message[]): void {
    const messages = delivered.filter(({ port }) => port !== this.#ignored);
    for (let start = 0; start < messages.length; start += MESSAGES_PER_DATAGRAM) {
      const writer = new Writer();
      for (const message of messages.slice(start, start + MESSAGES_PER_DATAGRAM))
        writeMessage(writer, message);
      this.#queue.push(writer.finish());
    }
    if (messages.length > 0) this.#wake?.();
  }

  /** Drops everything that is queued, as if the buffer had been too small; the reader learns of it. */
  overrun(): void {
    this.#queue = [];
    this.#overrun = true;
    this.#wake?.();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#close(this);
  }

  #checkOpen(syscall: string): void {
    if (this.#closed) throw new SysError(syscall, constants.errno.EBADF);
  }
}
