/**
 * One port for gRPC and HTTP/1.1. A plain connection is looked at: HTTP/2 begins with a fixed preface (RFC 9113,
 * 3.4), everything else is HTTP/1.1. With TLS the client says which it wants (ALPN).
 */
import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { followFiles, type TlsFiles } from '../../store/tls-files.ts';
import { UnprovenConnections } from './unproven-connections.ts';

/** The first bytes of the preface; no HTTP/1.1 request begins with them. */
const PREFACE = Buffer.from('PRI * HTTP/2.0');
/**
 * By preference: clients of gRPC offer nothing but h2, and who offers both (curl, browsers) wants a page or the
 * gateway, which are served over HTTP/1.1.
 */
const PROTOCOLS = ['http/1.1', 'h2'];
/** A client has this long for its TLS handshake, and again for the first bytes of what it wants. Milliseconds. */
const SILENCE_MS = 10_000;
/** Connections whose client has shown neither a certificate nor a protocol: at most half of the open files, or this. */
const MAX_UNPROVEN = 4096;
/**
 * A host that loses its power says no goodbye, and a watch may be silent for hours: after this long the kernel asks
 * whether the other end is still there, and closes the connection when it does not answer.
 */
const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelay: 60_000 } as const;

export interface ListenEndpoint {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Absent: plain TCP. */
  readonly tls?: TlsOptions;
  /** Where `tls` comes from, when it may change. */
  readonly files?: TlsFiles;
  /**
   * Clients without a certificate are served HTTP/1.1, and nothing else, although `tls` insists on one: they may
   * ask for a certificate there.
   */
  readonly anonymous?: boolean;
}

const refuse = (socket: Socket): unknown => socket.destroy();

/** Takes over connections. */
export interface Protocols {
  http2(socket: Socket): void;
  http1(socket: Socket): void;
}

export class Listener implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #unproven: UnprovenConnections;

  /** @throws whatever listening throws: EADDRINUSE, EACCES. */
  static async open(endpoint: ListenEndpoint, protocols: Protocols, log: Logger): Promise<Listener> {
    const listener = new Listener(endpoint, protocols, log);
    await new Promise<void>((resolve, reject) => {
      listener.#server.once('error', reject);
      listener.#server.listen(endpoint.port, endpoint.host, () => {
        listener.#server.off('error', reject);
        resolve();
      });
    });
    return listener;
  }

  private constructor({ tls, files, anonymous = false }: ListenEndpoint, protocols: Protocols, log: Logger) {
    this.#unproven = new UnprovenConnections(Math.min(MAX_UNPROVEN, Math.floor(openFilesLimit() / 2)), log);
    if (tls === undefined) {
      this.#server = createServer({ ...KEEP_ALIVE, noDelay: true }, socket =>
        this.#sniff(socket, this.#proving(socket, protocols)),
      );
    } else {
      const insists = tls.rejectUnauthorized === true;
      const options = {
        ...KEEP_ALIVE,
        handshakeTimeout: SILENCE_MS,
        ...tls,
        rejectUnauthorized: insists && !anonymous,
        ALPNProtocols: PROTOCOLS,
      };
      const server = createTlsServer(options, socket => {
        const shown = socket.getPeerCertificate().raw !== undefined;
        // OpenSSL accepts a certificate of an unknown authority when none is insisted on; we do not.
        if (shown && !socket.authorized) {
          log.debug(
            { peer: socket.remoteAddress, error: String(socket.authorizationError) },
            'certificate refused',
          );
          socket.destroy();
        } else if (!shown && insists) this.#sniff(socket, { http1: protocols.http1, http2: refuse });
        else this.#choose(socket, this.#proving(socket, protocols));
      });
      server.on('tlsClientError', (error, socket) =>
        log.debug({ peer: socket.remoteAddress, error: messageOf(error) }, 'TLS handshake failed'),
      );
      if (files !== undefined) followFiles(server, files, log);
      this.#server = server;
    }
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      const forget = this.#unproven.add(socket);
      socket.once('close', () => {
        this.#sockets.delete(socket);
        forget();
      });
    });
  }

  /** The port in use, also when 0 was asked for. */
  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new TypeError('the listener is closed');
    return address.port;
  }

  /** Stops listening and ends every connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** The protocols, for a client of which nothing more is wanted than that it speaks one of them. */
  #proving(socket: Socket, protocols: Protocols): Protocols {
    const proven = () => this.#unproven.delete(socket);
    return {
      http1(one) {
        proven();
        protocols.http1(one);
      },
      http2(one) {
        proven();
        protocols.http2(one);
      },
    };
  }

  #choose(socket: TLSSocket, protocols: Protocols): void {
    socket.on('error', () => socket.destroy());
    socket.setNoDelay(true);
    // etcd's own clients before 3.5 may come without ALPN; they speak HTTP/2 all the same.
    if (socket.alpnProtocol === 'http/1.1') protocols.http1(socket);
    else if (socket.alpnProtocol === 'h2') protocols.http2(socket);
    else this.#sniff(socket, protocols);
  }

  #sniff(socket: Socket, protocols: Protocols): void {
    const silence = setTimeout(() => socket.destroy(), SILENCE_MS);
    const giveUp = () => socket.destroy();
    let seen: Buffer = Buffer.alloc(0);
    const look = () => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      seen = seen.byteLength === 0 ? chunk : Buffer.concat([seen, chunk]);
      const known = Math.min(seen.byteLength, PREFACE.byteLength);
      const maybe = seen.subarray(0, known).equals(PREFACE.subarray(0, known));
      if (maybe && known < PREFACE.byteLength) return;
      clearTimeout(silence);
      socket.off('readable', look);
      socket.off('error', giveUp);
      socket.unshift(seen);
      if (maybe) protocols.http2(socket);
      else protocols.http1(socket);
    };
    socket.on('readable', look);
    socket.on('error', giveUp);
    socket.once('close', () => clearTimeout(silence));
  }
}

/** Of this process (proc_pid_limits(5)). */
function openFilesLimit(): number {
  const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  return Number(soft ?? Number.POSITIVE_INFINITY);
}
