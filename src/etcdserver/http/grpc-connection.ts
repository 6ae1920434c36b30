/**
 * What one client may cost the server, whatever it sends. node:http2 (nghttp2) bounds what it keeps itself: headers,
 * settings, pings, streams that are reset. This bounds what becomes of the requests:
 *
 *     requests   that run and are not answered, those whose stream was reset included
 *     headers    of requests made before the client has taken note of our settings, which nghttp2 holds it to from then on
 *     held       bytes of requests that are not complete
 *     pieces     of requests that are a few bytes each, and cost as much as large ones
 *     hasty      requests that are taken back as soon as they are made. nghttp2 counts resets too, but acts on it
 *                only after all that was received with them, which may be megabytes
 *
 * A client that goes beyond is one that does not wait for answers or sends nonsense; its connection is ended.
 */
import { constants, type IncomingHttpHeaders, type ServerHttp2Session, type ServerOptions } from 'node:http2';

/**
 * Streams at once; clients that want more wait. Node makes and ends a stream in a tenth of a millisecond, and serves no
 * other client meanwhile; and a hostile client connects again when it is thrown out. So a connection begins with a few
 * more than the 100 that clients assume before they know our settings, and has MAX_STREAMS after SETTLED_MS.
 */
const FIRST_STREAMS = 128;
const MAX_STREAMS = 512;
const SETTLED_MS = 1000;
/** Bytes that a client may send on a stream before we have taken them: the largest request fits. */
const WINDOW_BYTES = 2 * 1024 * 1024;
const MAX_HEADER_BYTES = 16 * 1024;
/** What a header counts besides its name and its value (RFC 9113, 6.5.2). */
const HEADER_OVERHEAD = 32;
const MAX_REQUESTS = 2 * MAX_STREAMS;
const MAX_HELD_BYTES = 16 * 1024 * 1024;
/** Small pieces that complete no message: how many a connection may send in a burst, and per second in the long run. */
const SMALL_BYTES = 64;
const PIECES: Allowance = { burst: 1000, perSecond: 100 };
/** Requests taken back within so many milliseconds; who gives up later has waited. */
const HASTY_MS = 100;
const HASTY: Allowance = { burst: 100, perSecond: 20 };
/** Milliseconds that a client has for the rest of its preface and its settings. */
const HANDSHAKE_MS = 10_000;

export const SESSION_OPTIONS: ServerOptions = {
  settings: {
    maxConcurrentStreams: FIRST_STREAMS,
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

interface Allowance {
  /** At once. */
  readonly burst: number;
  /** In the long run. */
  readonly perSecond: number;
}

/** Counts events, and forgets as many per second as are allowed. */
class EventCount {
  readonly #allowance: Allowance;
  #count = 0;
  #since = performance.now();

  constructor(allowance: Allowance) {
    this.#allowance = allowance;
  }

  /** One more. @returns whether that is too many */
  add(): boolean {
    const now = performance.now();
    const forgotten = ((now - this.#since) / 1000) * this.#allowance.perSecond;
    this.#count = Math.max(0, this.#count - forgotten) + 1;
    this.#since = now;
    return this.#count > this.#allowance.burst;
  }
}

export class ConnectionLimits {
  readonly #session: ServerHttp2Session;
  readonly #onExceeded: (limit: string) => void;
  #requests = 0;
  #held = 0;
  #knowsSettings = false;
  readonly #smallPieces = new EventCount(PIECES);
  readonly #hasty = new EventCount(HASTY);

  /** @param onExceeded called once, with the limit that was exceeded. */
  constructor(session: ServerHttp2Session, onExceeded: (limit: string) => void) {
    this.#session = session;
    this.#onExceeded = onExceeded;
    session.setLocalWindowSize(2 * WINDOW_BYTES);
    session.once('localSettings', () => (this.#knowsSettings = true));
    const late = setTimeout(() => this.#end('no settings within 10 s'), HANDSHAKE_MS);
    session.once('remoteSettings', () => clearTimeout(late));
    const settled = setTimeout(() => {
      if (!session.destroyed) session.settings({ maxConcurrentStreams: MAX_STREAMS });
    }, SETTLED_MS);
    session.once('close', () => {
      clearTimeout(late);
      clearTimeout(settled);
    });
  }

  /** A request was made. */
  made(headers: IncomingHttpHeaders): void {
    if (!this.#knowsSettings && sizeOf(headers) > MAX_HEADER_BYTES)
      this.#end('too large headers of a request');
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
    if (pieceBytes >= SMALL_BYTES || heldBytes <= 0) return;
    if (this.#smallPieces.add()) this.#end('too many small pieces of requests');
  }

  /** The client has taken back a request of this moment. @param madeAt `performance.now()` */
  takenBack(madeAt: number): void {
    if (performance.now() - madeAt > HASTY_MS) return;
    if (this.#hasty.add()) this.#end('too many requests that are taken back at once');
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

function sizeOf(headers: IncomingHttpHeaders): number {
  let bytes = 0;
  for (const [name, value] of Object.entries(headers)) {
    bytes += name.length + String(value).length + HEADER_OVERHEAD;
  }
  return bytes;
}
