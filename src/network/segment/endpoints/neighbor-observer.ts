/**
 * Listens on the bridge of an L2 network to what its stations say of themselves, and asks them. Only messages of ARP and
 * neighbor discovery come up, and of a flood of these only as many as this host has time for.
 */
import type { Clock } from '../../../base/clock.ts';
import { CodecError, isCode, messageOf } from '../../../base/errors.ts';
import type { Family, Ip } from '../../../base/ip.ts';
import type { Logger } from '../../../base/log.ts';
import type { Mac } from '../../../base/mac.ts';
import {
  type NeighborMessage,
  neighborAnnouncement,
  neighborProbe,
  readNeighborMessage,
} from '../../../base/neighbor-messages.ts';
import { NeighborSocket } from '../../../sys/neighbor-socket.ts';
import type { Netns } from '../../../sys/netns.ts';

export interface NeighborObserverOptions {
  readonly netns: Netns;
  /** Index of the bridge. */
  readonly link: number;
  readonly families: readonly Family[];
  /** Of the bridge: answers to probes go there. */
  readonly mac: Mac;
  readonly onMessage: (message: NeighborMessage) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Messages that are read at once, and milliseconds until more are: 3,200 a second. The kernel drops the rest. */
const BATCH = 64;
const PAUSE = 20;

/** The link is down or gone. Announcements of links say when it is back. */
const LINK_DOWN = ['ENETDOWN', 'ENXIO', 'ENODEV'] as const;

export class NeighborObserver implements Disposable {
  readonly #options: NeighborObserverOptions;
  readonly #sockets: ReadonlyMap<Family, NeighborSocket>;
  readonly #stop = new AbortController();

  private constructor(options: NeighborObserverOptions, sockets: ReadonlyMap<Family, NeighborSocket>) {
    this.#options = options;
    this.#sockets = sockets;
    for (const socket of sockets.values()) void this.#read(socket);
  }

  /** Listens from now on. @throws SysError ENODEV for a link that is gone */
  static open(options: NeighborObserverOptions): NeighborObserver {
    const sockets = new Map<Family, NeighborSocket>();
    try {
      for (const family of options.families)
        sockets.set(family, NeighborSocket.open(options.netns, options.link, family));
      return new NeighborObserver(options, sockets);
    } catch (error) {
      for (const socket of sockets.values()) socket[Symbol.dispose]();
      throw error;
    }
  }

  /** Asks who has an address. */
  probe(ip: Ip): void {
    this.#send(ip, neighborProbe(ip, this.#options.mac));
  }

  /** Says to the stations of this host that an address is that of another MAC address than they may know. */
  announce(ip: Ip, mac: Mac): void {
    this.#send(ip, neighborAnnouncement(ip, mac, this.#options.mac));
  }

  #send(ip: Ip, frame: Uint8Array): void {
    try {
      this.#sockets.get(ip.family)?.send(frame);
    } catch (error) {
      if (!isCode(error, ...LINK_DOWN)) throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }

  async #read(open: NeighborSocket): Promise<void> {
    const { clock, logger } = this.#options;
    const { signal } = this.#stop;
    using socket = open;
    while (!signal.aborted) {
      try {
        await socket.readable(signal);
        this.#take(socket);
        await clock.sleep(PAUSE, signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!isCode(error, ...LINK_DOWN))
          logger.warn({ error: messageOf(error) }, 'stations of an L2 network cannot be listened to');
        await clock.sleep(1000, signal).catch(() => undefined);
      }
    }
  }

  #take(socket: NeighborSocket): void {
    for (let count = 0; count < BATCH; count++) {
      const frame = socket.receive();
      if (frame === undefined) return;
      const message = parse(frame);
      if (message !== undefined) this.#options.onMessage(message);
    }
  }
}

/** Anybody may send anything; what is no message is nothing. */
function parse(frame: Uint8Array): NeighborMessage | undefined {
  try {
    return readNeighborMessage(frame);
  } catch (error) {
    if (error instanceof CodecError) return undefined;
    throw error;
  }
}
