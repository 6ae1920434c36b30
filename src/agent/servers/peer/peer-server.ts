/**
 * The agent's server for other hosts: TLS 1.3 with certificates on both sides, then HTTP with one request per connection.
 * Nothing of a caller reaches the parser of HTTP before it has shown a certificate that counts
 * (docs/decisions/0020-peer-api.md).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Refusal } from '../../../api/messages.ts';
import type { CredentialReader, Credentials } from '../../../api/peer/credentials.ts';
import {
  type CertificateObjection,
  isPeerCaller,
  judgeCertificate,
  type PeerCaller,
} from '../../../api/peer/judge-certificate.ts';
import { PEER_LIMITS, type PeerLimits } from '../../../api/peer/peer-protocol.ts';
import type { Clock } from '../../../base/clock.ts';
import { messageOf } from '../../../base/errors.ts';
import type { Ip } from '../../../base/ip.ts';
import type { Logger } from '../../../base/log.ts';
import { bindTcpSocket } from '../../../sys/tcp-socket.ts';
import { ConnectionGate } from './connection-gate.ts';

/** Answers a request; what it throws is answered by whoever made it. @param isAwaited the caller waits for a word before it sends the body */
export type PeerListener = (
  caller: PeerCaller,
  request: IncomingMessage,
  response: ServerResponse,
  isAwaited: boolean,
) => void;

export interface PeerServerOptions {
  readonly credentials: CredentialReader;
  /** Whether a host of the network has this address. */
  readonly isPeer: (address: string) => boolean;
  readonly listener: PeerListener;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Milliseconds. */
  readonly limits?: PeerLimits;
}

/** Bytes of the head of a request. */
const LONGEST_HEAD = 4096;
/**
 * Bytes of one packet without headers: those that every link of IPv4 carries. A path that loses only large packets is what
 * a host is asked about, and must not silence it.
 */
const LONGEST_SEGMENT = 536;
/** Milliseconds that a caller who is refused has to read why. */
const FAREWELL_MS = 1000;

export class PeerServer implements AsyncDisposable {
  readonly #options: PeerServerOptions;
  readonly #gate: ConnectionGate;
  readonly #servers: Server[] = [];
  readonly #open = new Set<Socket>();
  readonly #http;
  readonly #limits: PeerLimits;
  /** Of those who were let in. */
  readonly #callers = new WeakMap<object, PeerCaller>();
  #credentials: Credentials;

  /** @throws PeerError NO_CERTIFICATE */
  private constructor(options: PeerServerOptions) {
    this.#options = options;
    this.#limits = options.limits ?? PEER_LIMITS;
    this.#gate = new ConnectionGate(options.clock, options.isPeer);
    this.#credentials = options.credentials.read();
    const { createServer } = process.getBuiltinModule('node:http');
    this.#http = createServer({ maxHeaderSize: LONGEST_HEAD, keepAlive: false });
    this.#http.on('request', (request, response) => this.#serve(request, response, false));
    this.#http.on('checkContinue', (request, response) => this.#serve(request, response, true));
    this.#http.on('clientError', (_, socket) => socket.destroy());
  }

  /** @throws PeerError NO_CERTIFICATE; Error with a code (EADDRINUSE, EADDRNOTAVAIL) when it cannot listen */
  static async open(addresses: readonly Ip[], port: number, options: PeerServerOptions): Promise<PeerServer> {
    const server = new PeerServer(options);
    try {
      for (const address of addresses) await server.#listen(address, port);
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Where it listens. */
  get addresses(): readonly AddressInfo[] {
    return this.#servers.map(server => server.address() as AddressInfo);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#servers.map(server => new Promise<void>(resolve => server.close(() => resolve())));
    for (const socket of this.#open) socket.destroy();
    await Promise.all(closed);
  }

  async #listen(address: Ip, port: number): Promise<void> {
    const { createServer } = process.getBuiltinModule('node:net');
    const server = createServer(socket => this.#accept(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ fd: bindTcpSocket(address, port, LONGEST_SEGMENT) }, resolve);
    });
    this.#servers.push(server);
  }

  #accept(socket: Socket): void {
    socket.on('error', () => undefined);
    if (!this.#gate.admit(socket)) return;
    this.#open.add(socket);
    let patience = setTimeout(() => socket.destroy(), this.#limits.handshake);
    socket.once('close', () => {
      this.#open.delete(socket);
      clearTimeout(patience);
    });
    this.#renew();
    const { TLSSocket } = process.getBuiltinModule('node:tls');
    const secure = new TLSSocket(socket, {
      isServer: true,
      secureContext: this.#credentials.context,
      requestCert: true,
      // Judged below: a caller whose certificate does not count is told why.
      rejectUnauthorized: false,
    });
    secure.on('error', () => socket.destroy());
    secure.once('secure', () => {
      const caller = this.#judge(secure);
      if (caller === undefined) return;
      this.#gate.passed(socket);
      clearTimeout(patience);
      // A little longer than a request may take: that ends with a word.
      patience = setTimeout(() => socket.destroy(), this.#limits.request + 2 * FAREWELL_MS);
      this.#callers.set(secure, caller);
      this.#http.emit('connection', secure);
    });
  }

  /** The next handshakes are with what is in the files now; while that cannot be used, with what was there before. */
  #renew(): void {
    const { credentials, logger } = this.#options;
    try {
      this.#credentials = credentials.read();
    } catch (error) {
      logger.warn({ error: messageOf(error) }, 'the changed certificates of the peer API cannot be used');
    }
  }

  /** Who it is; undefined for one who has been turned away. */
  #judge(socket: TLSSocket): PeerCaller | undefined {
    const shown = socket.getPeerX509Certificate();
    // Whoever shows none gets no word.
    if (shown === undefined) return void socket.destroy();
    const found = judgeCertificate(shown, this.#credentials.authorities, this.#options.clock.now());
    if (isPeerCaller(found)) return found;
    turnAway(socket, found);
    return undefined;
  }

  #serve(request: IncomingMessage, response: ServerResponse, isAwaited: boolean): void {
    const caller = this.#callers.get(request.socket);
    if (caller === undefined) request.socket.destroy();
    else this.#options.listener(caller, request, response, isAwaited);
  }
}

/** One answer, whatever was asked. It has to be read: what the caller sends meanwhile must not break the connection. */
function turnAway(socket: TLSSocket, { code, reason }: CertificateObjection): void {
  const refusal: Refusal = {
    code,
    message: `the certificate of the host that asks ${reason}`,
    hint: 'see the clocks of both hosts, and `tulle store cert list` on the host that asks',
  };
  const body = `${JSON.stringify(refusal)}\n`;
  const head = `HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`;
  socket.resume().end(head + body);
  const late = setTimeout(() => socket.destroy(), FAREWELL_MS);
  socket.once('close', () => clearTimeout(late));
}
