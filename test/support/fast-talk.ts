/** Two ends in network namespaces that talk all the time, by TCP or UDP: each message is answered, and one knows when. */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { Ip } from '../../src/base/ip.ts';
import type { Netns } from '../../src/sys/netns.ts';
import { bindTcpSocket } from '../../src/sys/tcp-socket.ts';
import { openUdpSocket } from '../../src/sys/udp-socket.ts';
import { within } from './eventually.ts';
import { connectTcp } from './source-server.ts';

export interface TalkPlace {
  readonly netns: Netns;
  readonly ip: string;
}

/** Milliseconds between two messages. */
const INTERVAL = 2;
const MESSAGE = Buffer.alloc(100, 7);
const MSS = 1400;
/** Some windows of TCP. */
const PIECE = Buffer.alloc(1 << 20, 1);

export abstract class Talk implements Disposable {
  readonly #timer: NodeJS.Timeout;
  #heard = Promise.withResolvers<void>();
  /** When the last answer was heard, by performance.now(). */
  #lastHeard = 0;
  /** When the newest message was said that has been answered: its packets may have passed any time later. */
  lastPassed = 0;

  constructor() {
    this.#timer = setInterval(() => this.say(), INTERVAL);
  }

  protected abstract say(): void;

  /** @param said when the message was said that is answered */
  protected hear(said: number): void {
    this.#lastHeard = performance.now();
    this.lastPassed = Math.max(this.lastPassed, said);
    this.#heard.resolve();
    this.#heard = Promise.withResolvers();
  }

  /** Resolves with the next answer. */
  answered(): Promise<void> {
    return within('an answer comes', this.#heard.promise);
  }

  /** Milliseconds since the last answer. */
  get silence(): number {
    return performance.now() - this.#lastHeard;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

export class UdpTalk extends Talk {
  readonly port: number;
  readonly #client: DatagramSocket;
  readonly #server: DatagramSocket;
  readonly #ip: string;

  private constructor(client: DatagramSocket, server: DatagramSocket, ip: string, port: number) {
    super();
    [this.#client, this.#server, this.#ip, this.port] = [client, server, ip, port];
    client.on('message', message => this.hear(message.readDoubleBE(0)));
  }

  static async begin(from: TalkPlace, to: TalkPlace, port: number): Promise<UdpTalk> {
    const [client, server] = [createSocket('udp4'), createSocket('udp4')];
    for (const socket of [client, server]) socket.on('error', () => undefined);
    server.on('message', (message, peer) => server.send(message, peer.port, peer.address));
    server.bind({ fd: to.netns.run(() => openUdpSocket(Ip.parse(to.ip), port)) });
    client.bind({ fd: from.netns.run(() => openUdpSocket(Ip.parse(from.ip), 0)) });
    const talk = new UdpTalk(client, server, to.ip, port);
    await talk.answered();
    return talk;
  }

  protected say(): void {
    const message = Buffer.from(MESSAGE);
    message.writeDoubleBE(performance.now());
    this.#client.send(message, this.port, this.#ip);
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    this.#client.close();
    this.#server.close();
  }
}

/** A connection of TCP. */
export class TcpTalk extends Talk {
  readonly port: number;
  readonly client: Socket;
  readonly served: Socket;
  readonly #server: Server;
  #isQuiet = false;
  /** What was said and is not answered: where it ends in the stream, and when that was. */
  #said: { readonly end: number; readonly time: number }[] = [];

  private constructor(client: Socket, served: Socket, server: Server, port: number) {
    super();
    [this.client, this.served, this.#server, this.port] = [client, served, server, port];
    for (const socket of [client, served]) socket.on('error', () => undefined).setNoDelay(true);
    served.on('data', chunk => served.write(chunk));
    client.on('data', () => {
      const answered = this.#said.filter(({ end }) => end <= client.bytesRead);
      this.#said = this.#said.slice(answered.length);
      this.hear(answered.at(-1)?.time ?? 0);
    });
  }

  /** @param at address that the client asks, unless that of the other end. @param atPort its port */
  static async begin(
    from: TalkPlace,
    to: TalkPlace,
    port: number,
    { at = to.ip, atPort = port }: { readonly at?: string; readonly atPort?: number } = {},
  ): Promise<TcpTalk> {
    const server = createServer({ allowHalfOpen: true });
    server.listen({ fd: to.netns.run(() => bindTcpSocket(Ip.parse(to.ip), port, MSS)) });
    const client = connectTcp(from.netns, Ip.parse(at), atPort);
    const [served] = (await within('it is connected', once(server, 'connection'))) as [Socket];
    const talk = new TcpTalk(client, served, server, port);
    await talk.answered();
    return talk;
  }

  protected say(): void {
    // What waits to be sent is enough when nothing is answered.
    if (this.#isQuiet || this.client.writableLength >= 10 * MESSAGE.byteLength) return;
    this.#said.push({ end: this.client.bytesWritten + MESSAGE.byteLength, time: performance.now() });
    this.client.write(MESSAGE);
  }

  /** Says nothing until it is called with false. */
  quiet(isQuiet: boolean): void {
    this.#isQuiet = isQuiet;
  }

  /**
   * Sends so many bytes, and waits until all have been answered: for each piece by itself, so that a busy machine may take
   * its time for all of them.
   */
  async carry(bytes: number): Promise<void> {
    let [wanted, answered] = [0, 0];
    let progress = Promise.withResolvers<void>();
    const count = (chunk: Uint8Array) => {
      answered += chunk.byteLength;
      if (answered >= wanted) progress.resolve();
    };
    this.client.on('data', count);
    try {
      while (wanted < bytes) {
        wanted += PIECE.byteLength;
        progress = Promise.withResolvers();
        this.client.write(PIECE);
        await within(`${wanted} of ${bytes} bytes come back`, progress.promise);
      }
    } finally {
      this.client.off('data', count);
    }
  }

  /** Ends it in order. @throws Error when an end does not hear of it */
  async end(): Promise<void> {
    this.quiet(true);
    const ends = [once(this.served, 'end'), once(this.client, 'end')];
    this.client.end();
    await within('the server hears of the end', ends[0] ?? Promise.resolve([]));
    this.served.end();
    await within('the client hears of the end', ends[1] ?? Promise.resolve([]));
  }

  /** Ends it with a RST. @throws Error when the other end does not hear of it */
  async reset(): Promise<void> {
    this.quiet(true);
    const closed = new Promise<void>(resolve => this.served.once('close', () => resolve()));
    this.client.resetAndDestroy();
    await within('the server hears of the reset', closed);
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    this.client.destroy();
    this.served.destroy();
    this.#server.close();
  }
}
