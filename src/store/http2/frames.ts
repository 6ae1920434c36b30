/**
 * HTTP/2 frames (RFC 9113, 4.1):
 *
 *     +-----------------------------------------------+
 *     |                 Length (24)                   |
 *     +---------------+---------------+---------------+
 *     |   Type (8)    |   Flags (8)   |
 *     +-+-------------+---------------+-------------------------------+
 *     |R|                 Stream identifier (31)                      |
 *     +=+=============================================================+
 *     |                   Payload (Length bytes)                    ...
 */

export const FRAME = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

export const FLAG = { END_STREAM: 0x1, ACK: 0x1, END_HEADERS: 0x4, PADDED: 0x8, PRIORITY: 0x20 } as const;

/** RFC 9113, 6.5.2. */
export const SETTING = {
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
} as const;

/** RFC 9113, 7. */
export const ERROR = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  ENHANCE_YOUR_CALM: 11,
} as const;

export type ErrorCode = (typeof ERROR)[keyof typeof ERROR];

/** What a client sends first (RFC 9113, 3.4). */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
export const FRAME_HEADER_BYTES = 9;
/** The largest payload everybody takes, and the one we take. */
export const DEFAULT_FRAME_SIZE = 16_384;
/** Of a connection and of a stream, before anybody says otherwise. */
export const DEFAULT_WINDOW = 65_535;
export const MAX_WINDOW = 2 ** 31 - 1;

/** The peer broke the rules, or asks for more than we give; the whole connection ends with this code. */
export class ConnectionError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = 'ConnectionError';
    this.code = code;
  }
}

export function encodeFrame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.byteLength);
  writeFrameHeader(frame, 0, payload.byteLength, type, flags, streamId);
  frame.set(payload, FRAME_HEADER_BYTES);
  return frame;
}

/** @returns the offset after the header. */
export function writeFrameHeader(
  into: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): number {
  into.writeUIntBE(length, at, 3);
  into[at + 3] = type;
  into[at + 4] = flags;
  return into.writeUInt32BE(streamId, at + 5);
}

/** @param pairs setting and value. */
export function encodeSettings(pairs: readonly (readonly [number, number])[]): Buffer {
  const payload = Buffer.alloc(pairs.length * 6);
  for (const [index, [setting, value]] of pairs.entries()) {
    payload.writeUInt16BE(setting, index * 6);
    payload.writeUInt32BE(value, index * 6 + 2);
  }
  return encodeFrame(FRAME.SETTINGS, 0, 0, payload);
}

/** Pairs of setting and value. @throws ConnectionError for a payload that is cut short. */
export function* decodeSettings(payload: Buffer): Generator<readonly [number, number]> {
  if (payload.byteLength % 6 !== 0) throw new ConnectionError(ERROR.FRAME_SIZE_ERROR, 'settings cut short');
  for (let at = 0; at < payload.byteLength; at += 6) {
    yield [payload.readUInt16BE(at), payload.readUInt32BE(at + 2)];
  }
}

export function encodeWindowUpdate(streamId: number, increment: number): Buffer {
  return encodeFrame(FRAME.WINDOW_UPDATE, 0, streamId, uint32(increment));
}

export function encodeReset(streamId: number, code: ErrorCode): Buffer {
  return encodeFrame(FRAME.RST_STREAM, 0, streamId, uint32(code));
}

export function encodeGoaway(lastStreamId: number, code: ErrorCode, why: string): Buffer {
  return encodeFrame(
    FRAME.GOAWAY,
    0,
    0,
    Buffer.concat([uint32(lastStreamId), uint32(code), Buffer.from(why)]),
  );
}

/** The payload of DATA or HEADERS without padding (RFC 9113, 6.1). @throws ConnectionError */
export function unpad(flags: number, payload: Buffer): Buffer {
  if ((flags & FLAG.PADDED) === 0) return payload;
  const padding = payload[0] ?? 0;
  if (padding >= payload.byteLength) {
    throw new ConnectionError(ERROR.PROTOCOL_ERROR, 'more padding than frame');
  }
  return payload.subarray(1, payload.byteLength - padding);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Called with each whole frame; the payload is a view of the chunk it came in. */
export type OnFrame = (type: number, flags: number, streamId: number, payload: Buffer) => void;

/** Cuts a stream of bytes into frames. */
export class FrameReader {
  readonly #onFrame: OnFrame;
  #rest: Buffer = Buffer.alloc(0);

  constructor(onFrame: OnFrame) {
    this.#onFrame = onFrame;
  }

  /** @throws ConnectionError for a frame larger than we take, and whatever `onFrame` throws. */
  push(chunk: Buffer): void {
    const bytes = this.#rest.byteLength === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.byteLength - at >= FRAME_HEADER_BYTES) {
      const length = bytes.readUIntBE(at, 3);
      if (length > DEFAULT_FRAME_SIZE) {
        throw new ConnectionError(ERROR.FRAME_SIZE_ERROR, `a frame of ${length} bytes`);
      }
      const start = at + FRAME_HEADER_BYTES;
      const end = start + length;
      if (end > bytes.byteLength) break;
      const streamId = bytes.readUInt32BE(at + 5) & 0x7fff_ffff;
      this.#onFrame(bytes[at + 3] ?? 0, bytes[at + 4] ?? 0, streamId, bytes.subarray(start, end));
      at = end;
    }
    this.#rest = at === bytes.byteLength ? EMPTY : bytes.subarray(at);
  }
}

const EMPTY = Buffer.alloc(0);
