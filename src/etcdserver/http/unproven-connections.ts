import type { Socket } from 'node:net';
import type { Logger } from '../../base/log.ts';

/**
 * Connections that have not sent a request yet. A client that opens many of them and stays silent must not use up the
 * files that the others need: when there are too many, the oldest one is closed. A client proves itself within moments.
 */
export class UnprovenConnections {
  readonly #max: number;
  readonly #log: Logger;
  /** By the other end: a TLS connection is one socket upon another, and has one other end. The oldest is first. */
  readonly #sockets = new Map<string, Socket>();

  /** @param max how many there may be. */
  constructor(max: number, log: Logger) {
    this.#max = max;
    this.#log = log;
  }

  /** Returns how to forget it once it is closed, when its other end is not known any more. */
  add(socket: Socket): () => void {
    const [oldest] = this.#sockets;
    if (oldest !== undefined && this.#sockets.size >= this.#max) {
      const [peer, former] = oldest;
      this.#log.debug(
        { peer, max: this.#max },
        'too many connections without a request: the oldest is closed',
      );
      this.#sockets.delete(peer);
      former.destroy();
    }
    const peer = otherEnd(socket);
    this.#sockets.set(peer, socket);
    return () => {
      if (this.#sockets.get(peer) === socket) this.#sockets.delete(peer);
    };
  }

  /** It has proven itself. @param socket the connection, or the TLS connection upon it. */
  delete(socket: Socket): void {
    this.#sockets.delete(otherEnd(socket));
  }
}

function otherEnd({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
