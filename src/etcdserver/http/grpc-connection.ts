/**
 * What one client may cost the server, whatever it sends. node:http2 (nghttp2) bounds what it keeps itself: headers,
 * settings, pings, streams that are reset. This bounds what becomes of the requests:
 *
 *     requests   that run and are not answered, those whose stream was reset included
 *     held       bytes of requests that are not complete
 *     pieces     of requests that are a few bytes each, and cost as much as large ones
 *
 * A client that goes beyond is one that does not wait for answers or sends nonsense; its connection is ended.
 */
import { constants, type ServerHttp2Session, type ServerOptions } from 'node:http2';

/** Streams at once. Watches share a stream, so that no client of etcd's comes near. */
const MAX_STREAMS = 1000;
/** Bytes that a client may send on a stream before we have taken them: the largest request fits. */
const WINDOW_BYTES = 2 * 1024 * 1024;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_REQUESTS = 2 * MAX_STREAMS;
const MAX_HELD_BYTES = 16 * 1024 * 1024;
/** Small pieces that complete no message: how many a connection may send in a burst, and per second in the long run. */
const PIECES = { smallBytes: 64, burst: 1000, perSecond: 100 } as const;
/** Milliseconds that a client has for the rest of its preface and its settings. */
const HANDSHAKE_MS = 10_000;

export const SESSION_OPTIONS: ServerOptions = {
  settings: {
    maxConcurrentStreams: MAX_STREAMS,
    initialWindowSize: WINDOW_BYTES,
    maxHeaderListSize: MAX_HEADER_BYTES,
  },
  /** Megabytes. */
  maxSessionMemory: 10,
  maxHeaderListPairs: 64,
  maxOutstandingPings: 10,
  maxSessionInvalidFrames: 100,
  maxSessionRejectedStreams: 100,
  streamResetBurst: 200,
  streamResetRate: 50,
};

export class ConnectionLimits {
  readonly #session: ServerHttp2Session;
  readonly #onExceeded: (limit: string) => void;
  #requests = 0;
  #held = 0;
  #smallPieces = 0;
  #since = performance.now();

  /** @param onExceeded called once, with the limit that was exceeded. */
  constructor(session: ServerHttp2Session, onExceeded: (limit: string) => void) {
    this.#session = session;
    this.#onExceeded = onExceeded;
    session.setLocalWindowSize(2 * WINDOW_BYTES);
    const late = setTimeout(() => this.#end('no settings within 10 s'), HANDSHAKE_MS);
    session.once('remoteSettings', () => clearTimeout(late));
    session.once('close', () => clearTimeout(late));
  }

  /** A request begins to run. */
  began(): void {
    if (++this.#requests > MAX_REQUESTS) this.#end('too many requests without waiting for answers');
  }

  finished(): void {
    this.#requests--;
  }

  /** A piece of a request came, and so many bytes more than before are kept of it; fewer when negative. */
  received(pieceBytes: number, heldBytes: number): void {
    this.#held += heldBytes;
    if (this.#held > MAX_HELD_BYTES) this.#end('too many bytes of unfinished requests');
    if (pieceBytes >= PIECES.smallBytes || heldBytes <= 0) return;
    const now = performance.now();
    const allowed = ((now - this.#since) / 1000) * PIECES.perSecond;
    this.#smallPieces = Math.max(0, this.#smallPieces - allowed) + 1;
    this.#since = now;
    if (this.#smallPieces > PIECES.burst) this.#end('too many small pieces of requests');
  }

  /** What was kept of a request is not any more. */
  released(heldBytes: number): void {
    this.#held -= heldBytes;
  }

  #end(limit: string): void {
    if (this.#session.destroyed) return;
    this.#onExceeded(limit);
    this.#session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from(limit));
    this.#session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }
}
