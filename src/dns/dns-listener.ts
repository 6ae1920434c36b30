/**
 * Serves DNS at one address of one link, over UDP and TCP, for askers that have an address of that link's networks. All
 * others get no answer, over TCP no more than a closed connection.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import { Ip } from '../base/ip.ts';
import { bindToLink } from '../sys/link-socket.ts';
import { DNS_PORT, MOST_QUERY } from './constants.ts';
import type { Responder } from './responder.ts';
import { MessageFrames } from './tcp-frames.ts';

export interface DnsListenerOptions {
  /** Name of the link by which queries come in. */
  readonly link: string;
  readonly ip: Ip;
  /** 53 unless given. */
  readonly port?: number;
  readonly isAsker: (address: Ip) => boolean;
  readonly responder: Pick<Responder, 'answer'>;
  /** Milliseconds without a query after which a TCP connection ends; ten seconds unless given. */
  readonly idle?: number;
}

const IDLE = 10_000;
/** TCP connections of a listener, and of one asker. */
const MOST_CONNECTIONS = 256;
const MOST_OF_ONE = 32;
/** Queries of one connection that are answered at the same time; more are read when these are done. */
const MOST_PIPELINED = 32;
/** Bytes of answers that an asker has not taken yet. */
const MOST_UNSENT = 256 << 10;

export class DnsListener implements Disposable {
  readonly #options: DnsListenerOptions;
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  readonly #connections = new Set<Socket>();
  /** By asker. */
  readonly #counts = new Map<string, number>();

  private constructor(options: DnsListenerOptions, udp: UdpSocket, tcp: Server) {
    this.#options = options;
    this.#udp = udp;
    this.#tcp = tcp;
    udp.on('message', (bytes, { address, port }) => this.#take(bytes, address, port));
    // Of a datagram that could not be sent: the asker is gone, and asks again if not.
    udp.on('error', () => undefined);
    tcp.on('connection', socket => this.#accept(socket));
    tcp.on('error', () => undefined);
  }

  /** @throws SysError EADDRINUSE, ENODEV */
  static async open(options: DnsListenerOptions): Promise<DnsListener> {
    const { ip, link, port = DNS_PORT } = options;
    const udp = createSocket({ type: ip.family === 'ipv4' ? 'udp4' : 'udp6' });
    const tcp = createServer();
    const listener = new DnsListener(options, udp, tcp);
    try {
      const udpFd = bindToLink('udp', ip, port, link);
      await new Promise<void>((resolve, reject) => {
        udp.once('error', reject);
        udp.bind({ fd: udpFd, exclusive: true }, resolve);
      });
      const tcpFd = bindToLink('tcp', ip, port, link);
      await new Promise<void>((resolve, reject) => {
        tcp.once('error', reject);
        tcp.listen({ fd: tcpFd, exclusive: true }, resolve);
      });
      return listener;
    } catch (error) {
      listener[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    try {
      this.#udp.close();
    } catch {
      // It was never bound.
    }
    this.#tcp.close();
    for (const socket of this.#connections) socket.destroy();
  }

  #isAsker(address: string): boolean {
    const ip = Ip.tryParse(address);
    return ip !== undefined && this.#options.isAsker(ip);
  }

  #take(bytes: Uint8Array, address: string, port: number): void {
    if (port === 0 || !this.#isAsker(address)) return;
    const answer = this.#options.responder.answer(bytes, address, 'udp');
    const send = (message: Uint8Array | undefined) => {
      // A socket that was closed meanwhile sends nothing.
      if (message !== undefined && !this.#isClosed) this.#udp.send(message, port, address, () => undefined);
    };
    // One that fails is silence, as one that is lost is: the asker asks again.
    if (answer instanceof Promise) answer.then(send).catch(() => undefined);
    else send(answer);
  }

  get #isClosed(): boolean {
    return !this.#tcp.listening;
  }

  #accept(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const count = this.#counts.get(address) ?? 0;
    socket.on('error', () => socket.destroy());
    if (!this.#isAsker(address) || count >= MOST_OF_ONE || this.#connections.size >= MOST_CONNECTIONS) {
      socket.destroy();
      return;
    }
    this.#connections.add(socket);
    this.#counts.set(address, count + 1);
    socket.on('close', () => {
      this.#connections.delete(socket);
      const left = (this.#counts.get(address) ?? 1) - 1;
      if (left > 0) this.#counts.set(address, left);
      else this.#counts.delete(address);
    });
    socket.setTimeout(this.#options.idle ?? IDLE, () => socket.destroy());
    void this.#converse(socket, address).catch(() => socket.destroy());
  }

  /** Answers come as they are ready: a query that another server answers keeps no other one back (RFC 7766). */
  async #converse(socket: Socket, address: string): Promise<void> {
    const frames = new MessageFrames(MOST_QUERY);
    for await (const chunk of socket) {
      const messages = frames.push(chunk as Uint8Array);
      for (let first = 0; first < messages.length; first += MOST_PIPELINED) {
        const batch = messages.slice(first, first + MOST_PIPELINED);
        await Promise.all(batch.map(message => this.#reply(socket, message, address)));
        if (socket.writableLength > MOST_UNSENT) return void socket.destroy();
      }
    }
    socket.end();
  }

  async #reply(socket: Socket, message: Uint8Array, address: string): Promise<void> {
    const answer = await this.#options.responder.answer(message, address, 'tcp');
    // What is no query at all ends the conversation: nothing behind it can be trusted to be one.
    if (answer === undefined) socket.destroy();
    else if (socket.writable) socket.write(MessageFrames.frame(answer));
  }
}
