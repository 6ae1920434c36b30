/**
 * How many connections from outside there may be, and who of them makes room. Before a certificate was shown nothing is
 * known of who connects but the address. Addresses of peers and all others have places of their own, so that strangers
 * cannot take those of peers; and of each kind the oldest silent one makes room for a new one, so that whoever connects and
 * says nothing keeps nobody out.
 */
import type { Socket } from 'node:net';
import type { Clock } from '../../../base/clock.ts';
import { TokenBucket } from '../../../base/token-bucket.ts';

/** Connections that have shown no certificate yet: many hosts may check at the same time. */
const MOST_PENDING = { peer: 256, stranger: 8 } as const;
/** A handshake costs this host a signature: strangers get some in a row, and then 10 a second. */
const STRANGERS = { burst: 20, interval: 100 };

export class ConnectionGate {
  readonly #isPeer: (address: string) => boolean;
  readonly #pending = { peer: new Set<Socket>(), stranger: new Set<Socket>() };
  readonly #strangers: TokenBucket;

  /** @param isPeer whether a host of the network has this address */
  constructor(clock: Clock, isPeer: (address: string) => boolean) {
    this.#isPeer = isPeer;
    this.#strangers = new TokenBucket(clock, STRANGERS);
  }

  /** Whether a handshake may begin; one that is not let in is closed. */
  admit(socket: Socket): boolean {
    const kind = this.#isPeer(plainAddress(socket.remoteAddress ?? '')) ? 'peer' : 'stranger';
    if (kind === 'stranger') {
      if (this.#strangers.delay > 0) {
        socket.destroy();
        return false;
      }
      this.#strangers.take(0);
    }
    const pending = this.#pending[kind];
    const [oldest] = pending;
    if (pending.size >= MOST_PENDING[kind]) oldest?.destroy();
    pending.add(socket);
    socket.once('close', () => pending.delete(socket));
    return true;
  }

  /** The caller has shown who it is: the place is free for another. */
  passed(socket: Socket): void {
    this.#pending.peer.delete(socket);
    this.#pending.stranger.delete(socket);
  }
}

/** Of IPv4 that comes in by a socket of IPv6. */
const plainAddress = (address: string) => address.replace(/^::ffff:(?=\d+\.)/, '');
